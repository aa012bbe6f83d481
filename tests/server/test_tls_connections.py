"""TLS that the server speaks itself: handshakes that never end, clients that speak none, and ends nobody agrees to."""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl

import httpx
import pytest
import uvloop

from authority import found_authority
from exportctl.server import connections, run
from exportctl.server.settings import Tls
from server.conftest import TOKEN, serving, write_images
from server.test_bad_clients import HEAD, all_of, refused
from server.test_handshakes import UPGRADE


@pytest.fixture
def authority(tmp_path):
    return found_authority(tmp_path)


@pytest.fixture
def trust(authority):
    return ssl.create_default_context(cafile=str(authority.bundle))


@pytest.fixture
def tls_for(settings_for, authority):
    certificate, key = authority.certify("own")
    tls = Tls(certificate=certificate, key=key)
    return lambda folder, **changes: serving(settings_for(folder, tls=tls, **changes))


def on_uvloop(test):
    """Run a test in the loop that the server runs in: the TLS of asyncio's own is another."""

    @functools.wraps(test)
    def run_it(**fixtures):
        uvloop.run(test(**fixtures))

    return run_it


@pytest.fixture
def _few(monkeypatch):
    monkeypatch.setattr(connections, "MOST_SILENT", 20)


class Wire:
    """TLS by hand: what it is told to say, and nothing else."""

    def __init__(self, trust):
        self.come, self.gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trust.wrap_bio(self.come, self.gone, server_hostname="localhost")

    def hello(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.gone.read()

    async def shake_hands(self, reader, writer):
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                return
            writer.write(self.gone.read())
            self.come.write(await reader.read(1 << 16))

    def packed(self, said):
        self.tls.write(said)
        return self.gone.read()

    def unpacked(self, seen):
        self.come.write(seen)
        text = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while block := self.tls.read(1 << 16):
                text += block
        return text


@contextlib.asynccontextmanager
async def plain(server, sent=b"", **options):
    host, port = server.url.removeprefix("https://").split(":")
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # what is not read stays with the server
    link.settimeout(0)
    await asyncio.get_running_loop().sock_connect(link, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=link, **options)
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.transport.abort()


def nothing_is_wrong(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("begun", ["nothing", "half a hello", "a hello"])
@on_uvloop
async def test_thousands_that_never_end_their_handshake_keep_nobody_out(tls_for, cells, trust, caplog, *, begun):
    hello = Wire(trust).hello()
    sent = {"nothing": b"", "half a hello": hello[:50], "a hello": hello}[begun]
    async with tls_for(cells) as server, contextlib.AsyncExitStack() as held:
        readers = [(await held.enter_async_context(plain(server, sent)))[0] for _ in range(100)]
        await asyncio.gather(*map(all_of, readers[:60]))  # those that have waited longest are cut
        async with server.client(verify=trust) as client:
            assert (await client.get("/api/health")).status_code == 200
    assert nothing_is_wrong(caplog)


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
@on_uvloop
async def test_a_handshake_has_the_time_of_a_head(tls_for, cells, sent, caplog):
    async with tls_for(cells, head_seconds=0.1) as server, plain(server, sent) as (reader, _):
        assert await all_of(reader) == b""
    assert nothing_is_wrong(caplog)


@on_uvloop
async def test_who_speaks_http_in_the_clear_is_told_to_speak_tls(tls_for, cells):
    async with tls_for(cells) as server, plain(server, HEAD) as (reader, _):
        assert refused(await all_of(reader)) == (400, "TLS_WANTED")


@pytest.mark.parametrize("sent", [b"\x16" + bytes(300), b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02"])
@on_uvloop
async def test_what_is_no_tls_ends_its_connection_and_is_not_worth_a_line(tls_for, cells, trust, sent, caplog):
    async with tls_for(cells) as server, server.client(verify=trust) as client:
        async with plain(server, sent) as (reader, _):
            assert b"HTTP/1.1 2" not in await all_of(reader)
        assert (await client.get("/api/health")).status_code == 200
    assert nothing_is_wrong(caplog)


@on_uvloop
async def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(tls_for, cells, trust):
    wire = Wire(trust)
    async with tls_for(cells) as server, plain(server) as (reader, writer):
        await wire.shake_hands(reader, writer)
        last = wire.gone.read()
        writer.write(last + wire.packed(HEAD + b"Connection: close\r\n\r\n"))
        seen = b""
        while b'"status"' not in seen:
            seen += wire.unpacked(await reader.read(1 << 16))
        assert seen.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("asked", ["/api/health", "/elsewhere"], ids=["HTTP", "a refused socket"])
@on_uvloop
async def test_who_never_agrees_to_the_end_is_not_waited_for(tls_for, cells, trust, asked, monkeypatch):
    monkeypatch.setattr(run, "_CLOSE_SECONDS", 0.1)
    headers = UPGRADE if asked == "/elsewhere" else {"Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    wire = Wire(trust)
    async with tls_for(cells, head_seconds=0.1) as server, plain(server) as (reader, writer):
        await wire.shake_hands(reader, writer)
        writer.write(wire.gone.read() + wire.packed(f"GET {asked} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()))
        assert wire.unpacked(await all_of(reader)).startswith(b"HTTP/1.1 ")


@on_uvloop
async def test_whoever_takes_the_end_of_an_answer_slowly_gets_all_of_it(tls_for, tmp_path, trust, monkeypatch):
    waited, see_off = [], connections.Connection._see_off
    monkeypatch.setattr(connections.Connection, "_see_off", lambda self: (waited.append(self), see_off(self)))
    folder = write_images(tmp_path / "large", 4, size=1600)  # more than two kernels keep
    # Each request on a connection of its own: one that waits for another would be cut.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with tls_for(folder, head_seconds=0.1) as server, server.client(verify=trust, limits=limits) as client:
        job = await server.start(client)
        await server.events(client, job)
        archive = (await client.get(f"/api/export/{job}/download")).content
        ask = f"GET /api/export/{job}/download HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        waited.clear()
        options = {"ssl": trust, "server_hostname": "localhost", "limit": 1 << 12}
        async with plain(server, f"{ask}Range: bytes=-3500000\r\nConnection: close\r\n\r\n".encode(), **options) as (
            reader,
            _,
        ):
            seen = b""
            while not waited:  # it has written all that there is, and takes leave
                seen += await reader.read(1 << 16)
            while block := await reader.read(1 << 12):
                seen += block
        assert seen.partition(b"\r\n\r\n")[2] == archive[-3_500_000:]
