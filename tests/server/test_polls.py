"""Polls that follow each other as fast as they can: none is taken for a second one at once."""

import asyncio
import json

import socketio
from engineio.packet import MESSAGE, PING, Packet

from exportctl.server.doorway import Doorway, Server


async def ask(app, query, on_answer=None):
    """One GET, past any web server; `on_answer` is called while its answer is being sent. Returns (status, body)."""
    request = [{"type": "http.request", "body": b"", "more_body": False}]
    seen, end = [], asyncio.Event()

    async def receive():
        if not request:
            await end.wait()
            return {"type": "http.disconnect"}
        return request.pop()

    async def send(message):
        seen.append(message)
        if message["type"] == "http.response.body" and on_answer is not None:
            await on_answer()

    scope = {"type": "http", "method": "GET", "path": "/socket.io/", "headers": [(b"host", b"x")]}
    await app(scope | {"query_string": f"EIO=4&transport=polling{query}".encode()}, receive, send)
    return seen[0]["status"], seen[1]["body"]


async def test_a_client_that_polls_again_before_the_server_is_done_with_its_answer_keeps_its_session():
    server = Server(async_mode="asgi", cors_allowed_origins=[], monitor_clients=False)
    server.eio.start_background_task = lambda *_: None  # no pings but those below
    app = Doorway(server.eio, socketio.ASGIApp(server), "/socket.io/")
    sid = json.loads((await ask(app, ""))[1][1:])["sid"]
    session, polls = server.eio.sockets[sid], []

    async def poll_again():
        polls.append(asyncio.create_task(ask(app, f"&sid={sid}")))
        for _ in range(20):  # turns of the loop, of which it needs three
            await asyncio.sleep(0)

    await session.send(Packet(PING))
    assert await ask(app, f"&sid={sid}", poll_again) == (200, b"2")
    await session.send(Packet(PING))
    assert await polls[0] == (200, b"2")


async def test_a_poll_whose_session_ends_meanwhile_is_told_as_one_of_a_session_that_is_none():
    server = Server(
        async_mode="asgi", cors_allowed_origins=[], monitor_clients=False, ping_interval=0.01, ping_timeout=0.01
    )
    server.eio.start_background_task = lambda *_: None
    app = Doorway(server.eio, socketio.ASGIApp(server), "/socket.io/")
    sid = json.loads((await ask(app, ""))[1][1:])["sid"]
    for _ in range(2):
        status, body = await ask(app, f"&sid={sid}")
        assert (status, json.loads(body)) == (400, {"code": 1, "message": "Session ID unknown"})


async def test_a_poll_is_answered_with_no_more_packets_than_every_client_takes():
    server = Server(async_mode="asgi", cors_allowed_origins=[], monitor_clients=False)
    server.eio.start_background_task = lambda *_: None
    app = Doorway(server.eio, socketio.ASGIApp(server), "/socket.io/")
    sid = json.loads((await ask(app, ""))[1][1:])["sid"]
    for number in range(40):
        await server.eio.sockets[sid].send(Packet(MESSAGE, data=f"2[{number}]"))
    answers = [(await ask(app, f"&sid={sid}"))[1].decode().split("\x1e") for _ in range(3)]
    assert [len(packets) for packets in answers] == [16, 16, 8]
    assert [packet for packets in answers for packet in packets] == [f"42[{number}]" for number in range(40)]
