"""Clients that say nothing, too slowly, too much or nonsense: each ends its own connection, and nobody else notices."""

import asyncio
import contextlib
import json
import logging
import resource

import httpx_ws
import pytest
from websockets.asyncio.client import connect

from exportctl.server import connections, doorway
from server.conftest import TOKEN, serving, write_images
from server.socket_client import connected

HEAD = b"GET /api/health HTTP/1.1\r\nHost: x\r\n"


@contextlib.asynccontextmanager
async def raw(server, sent=b""):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def all_of(reader):
    """Everything that comes until the server has cut the connection."""
    seen = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            while block := await reader.read(1 << 16):
                seen += block
    return seen


def refused(seen):
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"x-content-type-options: nosniff" in head.lower()
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.fixture
async def impatient(settings_for, cells):
    async with serving(settings_for(cells, head_seconds=0.1)) as server:
        yield server


async def test_a_connection_that_says_nothing_is_cut(impatient):
    async with raw(impatient) as (reader, _):
        assert await all_of(reader) == b""


async def test_a_head_that_does_not_end_in_time_is_refused(impatient):
    async with raw(impatient, HEAD) as (reader, _):
        assert refused(await all_of(reader)) == (408, "HEAD_TOO_SLOW")


async def test_a_head_that_dribbles_is_no_reason_to_wait_longer(impatient):
    async with raw(impatient, HEAD) as (reader, writer):
        seen = asyncio.create_task(all_of(reader))
        with contextlib.suppress(ConnectionError):
            while not seen.done():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.wait([seen], timeout=0.02)
        assert refused(await seen) == (408, "HEAD_TOO_SLOW")


async def test_a_second_head_has_its_time_too_and_a_body_nobody_asked_for(impatient):
    for rest in (HEAD, b"\r\n"):
        async with raw(impatient, HEAD + b"Content-Length: 5\r\n\r\nhello" + rest) as (reader, _):
            seen = await all_of(reader)
        assert seen.startswith(b"HTTP/1.1 200")
    async with raw(impatient, HEAD + b"Content-Length: 5000\r\n\r\nhello") as (reader, _):
        assert (await all_of(reader)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("endless", [b"x" * 1000, b"x: y\r\n"], ids=["one header", "many headers"])
async def test_a_head_without_end_is_refused(server, endless):
    async with raw(server, HEAD + b"a: b") as (reader, writer):
        writer.write(endless * (2 * connections.LARGEST_HEAD // len(endless)))
        assert refused(await all_of(reader)) == (431, "HEAD_TOO_LARGE")


async def test_a_large_body_that_comes_with_its_head_is_no_large_head(server):
    body = json.dumps({"projectName": "x" * 200_000}).encode()
    head = f"POST /api/projects/{server.project.id}/export HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sign_in = f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    async with raw(server, (head + sign_in).encode() + body) as (reader, _):
        assert refused(await all_of(reader)) == (422, "BAD_PARAMETER")


@pytest.mark.parametrize("host", ["x", "x:80", "export.example:8443", "a_b", "[::1]:80", "10.0.0.1", ""])
async def test_a_host_of_any_kind_is_answered(server, host):
    async with raw(server, f"GET /api/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()) as (
        reader,
        _,
    ):
        assert (await all_of(reader)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("endless", [b"2;" + b"x" * 100, b"0\r\n" + b"X: y\r\n" * 20, b"0\r\nX: " + b"y" * 100])
async def test_what_a_body_is_packed_in_has_an_end(server, endless, caplog):
    head = f"POST /api/projects/{server.project.id}/export HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    async with raw(server, f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode() + endless) as (reader, writer):
        more = endless[-6:] * 200
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(more)
                await writer.drain()
        assert await all_of(reader) == b""
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: <x>\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: ana@x\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: [::1\r\n\r\n",
        # What two readers may take for different requests.
        b"GET /\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\n\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_its_connection_ends(impatient, sent, caplog):
    async with raw(impatient, sent) as (reader, _):
        seen = await all_of(reader)
    assert seen.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert seen.count(b"Export-Protocol") == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


GOOD_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"Sec-WebSocket-Key": None}, "missing Sec-WebSocket-Key header"),
        ({"Sec-WebSocket-Key": "abc"}, "invalid Sec-WebSocket-Key header: abc"),
        ({"Sec-WebSocket-Version": None}, "missing Sec-WebSocket-Version header"),
        ({"Sec-WebSocket-Version": "8"}, "invalid Sec-WebSocket-Version header: 8"),
        ({"X": "y" * 20_000}, "expected no more than 8192 bytes"),
        ({f"X-{number}": "y" for number in range(200)}, "expected no more than 128 headers"),
    ],
)
async def test_a_malformed_upgrade_is_refused_in_words_and_its_connection_ends(server, bad, words, caplog):
    lines = [f"{name}: {value}" for name, value in (GOOD_UPGRADE | bad).items() if value is not None]
    asked = ["GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", "Host: x", *lines, "", ""]
    async with raw(server, "\r\n".join(asked).encode()) as (reader, _):
        seen = await all_of(reader)
    assert refused(seen) == (400, "BAD_UPGRADE")
    assert words.encode() in seen
    assert b"Export-Protocol: 2" in seen
    assert b"Sec-WebSocket-Version: 13" in seen
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_thousands_that_say_nothing_keep_nobody_out_and_few_are_kept(server, monkeypatch):
    monkeypatch.setattr(connections, "MOST_SILENT", 20)
    host, port = server.url.removeprefix("http://").split(":")
    async with connected(server.url, TOKEN) as socket, server.client() as client:
        held = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
        try:
            assert (await client.get("/api/health")).status_code == 200
            assert (await socket.call("export:history", {"projectId": server.project.id}))["ok"]
            first = held[:180]
            for reader, _ in first:
                assert await all_of(reader) == b""
        finally:
            for _, writer in held:
                writer.transport.abort()
        assert (await client.get("/api/health")).status_code == 200


def test_files_can_be_opened_however_many_connections_there_are():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 0 < connections.most_connections() < soft


@pytest.mark.parametrize("compress", [False, True])
async def test_compression_is_offered_only_where_it_is_wanted_and_blows_up_nothing(settings_for, tmp_path, compress):
    folder = write_images(tmp_path / "small", 2)
    async with serving(settings_for(folder, compress=compress)) as server, server.client() as client:
        job = await server.start(client)
        await server.events(client, job)
        url = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
        async with connect(url, compression="deflate", proxy=None) as socket:
            told = "permessage-deflate" in socket.response.headers.get("Sec-WebSocket-Extensions", "")
            assert told is compress
            await socket.recv()
            await socket.send("40" + json.dumps({"token": TOKEN}))
            assert (await socket.recv()).startswith("40")
            await socket.send(f'421["export:subscribe",{{"jobId":"{job}","after":0}}]')
            while not (seen := await socket.recv()).startswith("431"):
                assert seen.startswith("42")
            # A megabyte and more of nothing, packed into a thousand bytes.
            with contextlib.suppress(Exception):
                await socket.send('42["x","' + "a" * 5_000_000 + '"]')
            await asyncio.wait_for(socket.wait_closed(), 30)
            assert socket.close_code == 1009
        assert (await client.get("/api/health")).status_code == 200


async def test_an_event_of_a_huge_size_ends_its_socket_alone(server, caplog):
    async with connected(server.url, TOKEN) as other, connected(server.url, TOKEN) as socket:
        with contextlib.suppress(httpx_ws.HTTPXWSException):
            await socket.send_raw('42["export:history","' + "x" * 1_100_000 + '"]')
        await asyncio.wait_for(socket.closed.wait(), 30)
        assert (await other.call("export:history", {"projectId": server.project.id}))["ok"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_client_that_asks_and_takes_no_answer_is_not_heard_until_it_has(server, monkeypatch):
    monkeypatch.setattr(doorway, "MOST_ANSWERS", 10)
    calls = [f'42{number}["export:history",{{"projectId":"nobody"}}]' for number in range(40)]
    async with server.client() as client:
        place = "/socket.io/?EIO=4&transport=polling"
        sid = json.loads((await client.get(place)).text[1:])["sid"]
        place += f"&sid={sid}"
        await client.post(place, content=f'40{{"token":"{TOKEN}"}}')
        assert (await client.get(place)).text.startswith("40")
        await client.post(place, content="\x1e".join(calls[:20]))
        asking = asyncio.create_task(client.post(place, content="\x1e".join(calls[20:])))
        for _ in range(3):
            assert (await client.get("/api/health")).status_code == 200
        assert not asking.done()
        seen = (await client.get(place)).text
        assert "4319[" not in seen
        while seen.count("43") < 40:
            seen += (await client.get(place)).text
        assert (await asking).text == "ok"
