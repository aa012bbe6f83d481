"""What the protocols' conformance suites ask of the server and its library does not give: one case each."""

import asyncio
import json
import logging
import socket as socket_module

import httpx
import httpx_ws
import pytest

from exportctl.server import silence
from server.conftest import TOKEN, serving
from server.socket_client import connected


@pytest.fixture
async def http(server):
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as client:
        yield client


def place(sid=None, **query):
    known = {"EIO": "4", "transport": "polling", **({"sid": sid} if sid else {}), **query}
    return "/socket.io/?" + "&".join(f"{name}={value}" for name, value in known.items() if value is not None)


async def session(http):
    answer = await http.get(place())
    assert answer.status_code == 200
    return json.loads(answer.text[1:])["sid"]


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("GET", {"transport": None}, 0),
        ("GET", {"transport": "pigeon"}, 0),
        ("GET", {"transport": "websocket"}, 0),
        ("GET", {"EIO": None}, 5),
        ("GET", {"EIO": "3"}, 5),
        ("POST", {}, 2),
        ("PUT", {}, 2),
        ("DELETE", {}, 2),
        ("GET", {"sid": "nobody"}, 1),
        ("POST", {"sid": "nobody"}, 1),
    ],
)
async def test_a_request_that_is_none_is_400_with_its_number(http, method, query, code):
    answer = await http.request(method, place(**query))
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["message"]


async def test_a_payload_is_taken_whole_and_answered_as_the_official_server_does(http):
    sid = await session(http)
    connect = "40" + json.dumps({"token": TOKEN})
    # More than the library's own 16 packets, as a client sends that was away.
    calls = [f'42{number}["export:history",{{"projectId":"nobody"}}]' for number in range(16)]
    answer = await http.post(place(sid), content=connect)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert (await http.get(place(sid))).text.startswith("40")
    answer = await http.post(place(sid), content="\x1e".join([*calls, '42["nothing",1]', '42["nothing",2]']))
    assert (answer.status_code, answer.text) == (200, "ok")
    seen = ""
    while seen.count("43") < 16:
        seen += (await http.get(place(sid))).text
    assert seen.count("PROJECT_NOT_FOUND") == 16


@pytest.mark.parametrize(
    "body", ["abc", "", "9", "2", "2probe", "4", "4abc", "42{}", '42x["a"]', "42[", "bAQID", "6\x1e42["]
)
async def test_a_malformed_payload_ends_its_session_and_nothing_is_logged(http, body, caplog):
    sid = await session(http)
    await http.post(place(sid), content="40" + json.dumps({"token": TOKEN}))
    answer = await http.post(place(sid), content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert (await http.get(place(sid))).status_code == 400
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_two_polls_at_once_end_the_session(http):
    sid = await session(http)
    await http.post(place(sid), content="40" + json.dumps({"token": TOKEN}))
    await http.get(place(sid))
    polls = await asyncio.gather(*(http.get(place(sid)) for _ in range(2)))
    told = {poll.status_code: poll.text for poll in polls}
    assert set(told) == {200, 400}
    assert told[200] == "1"
    assert (await http.get(place(sid))).status_code == 400


async def test_a_poll_that_is_given_up_ends_the_session(server, http):
    sid = await session(http)
    host, port = server.url.removeprefix("http://").split(":")
    with socket_module.create_connection((host, int(port))) as giving_up:
        giving_up.sendall(f"GET {place(sid)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.Event().wait()
    await until_400(http, place(sid))


async def until_400(http, path):
    async with asyncio.timeout(20):
        while (await http.post(path, content="3")).status_code != 400:
            pass


async def test_a_poll_is_answered_when_its_session_is_closed_by_the_client(http):
    sid = await session(http)
    poll = asyncio.create_task(http.get(place(sid)))
    assert (await http.post(place(sid), content="1")).text == "ok"
    assert (await poll).text == "6"
    assert (await http.get(place(sid))).status_code == 400


@pytest.mark.parametrize("packet", ["abc", "", "7", "2", "4abc", "42{}", '42x["a"]', '44{"message":"x"}', b"\x01"])
async def test_a_malformed_packet_ends_its_socket_and_nothing_is_logged(server, packet, caplog):
    async with connected(server.url, TOKEN) as socket:
        if isinstance(packet, bytes):
            await socket._session.send_bytes(packet)
        else:
            await socket.send_raw(packet)
        async with asyncio.timeout(20):
            await socket.closed.wait()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("name", ["connect", "connect_error", "disconnect", "disconnecting", "newListener"])
@pytest.mark.parametrize("binary", [False, True])
async def test_an_event_by_a_name_of_the_library_ends_its_socket_and_reaches_nothing(server, name, binary, caplog):
    async with connected(server.url, TOKEN) as socket:
        attached = [{"HTTP_COOKIE": "access_token=x"}, {"token": TOKEN}, *([{"_placeholder": True, "num": 0}] * binary)]
        await socket.send_raw(("451-" if binary else "42") + json.dumps([name, *attached]))
        if binary:
            await socket._session.send_bytes(b"x")
        async with asyncio.timeout(20):
            await socket.closed.wait()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_an_unknown_namespace_is_refused_in_the_official_words(http):
    sid = await session(http)
    await http.post(place(sid), content="40/random,")
    assert (await http.get(place(sid))).text == '44/random,{"message":"Invalid namespace"}'


async def upgrade(server, http, sid):
    return httpx_ws.aconnect_ws(
        f"{server.url}/socket.io/?EIO=4&transport=websocket&sid={sid}", http, keepalive_ping_interval_seconds=None
    )


async def test_after_the_upgrade_a_session_belongs_to_its_socket_alone(server, http):
    sid = await session(http)
    await http.post(place(sid), content="40" + json.dumps({"token": TOKEN}))
    async with await upgrade(server, http, sid) as socket:
        await socket.send_text("2probe")
        assert await socket.receive_text() == "3probe"
        assert (await http.get(place(sid))).text[:1] in {"4", "6"}
        await socket.send_text("5")
        await until_400(http, place(sid))
        async with await upgrade(server, http, sid) as second:
            with pytest.raises(httpx_ws.WebSocketDisconnect):
                await second.receive_text()
        await socket.send_text('421["export:history",{"projectId":"nobody"}]')
        while not (text := await socket.receive_text()).startswith("43"):
            assert text != "6"
        assert "PROJECT_NOT_FOUND" in text


async def test_a_body_that_is_too_large_ends_its_session(http):
    sid = await session(http)
    answer = await http.post(place(sid), content="4" + "x" * 1_000_001)
    assert answer.status_code == 400
    assert (await http.get(place(sid))).status_code == 400


async def test_a_session_that_never_connects_is_ended(settings_for, cells):
    async with (
        serving(settings_for(cells, handshake=1)) as server,
        connected(server.url, TOKEN) as known,
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http,
    ):
        sid = await session(http)
        await until_400(http, place(sid))
        assert (await known.call("export:history", {"projectId": server.project.id}))["ok"]


async def test_of_sessions_that_never_connect_few_are_kept_and_the_oldest_goes(server, http, monkeypatch):
    monkeypatch.setattr(silence, "MOST", 5)
    async with connected(server.url, TOKEN) as known:
        sids = [await session(http) for _ in range(20)]
        for sid in sids[:15]:
            assert (await http.get(place(sid))).json()["code"] == 1
        assert (await http.post(place(sids[-1]), content="40" + json.dumps({"token": TOKEN}))).text == "ok"
        assert (await http.get(place(sids[-1]))).text.startswith("40")
        assert (await known.call("export:history", {"projectId": server.project.id}))["ok"]


async def test_a_client_that_says_over_its_socket_that_it_leaves_is_let_go_at_once(server):
    async with connected(server.url, TOKEN) as client:
        await client.send_raw("1")
        async with asyncio.timeout(20):  # by itself it would take the time of a ping and of its answer
            await client.closed.wait()
