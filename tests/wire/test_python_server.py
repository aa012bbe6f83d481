"""python-socketio's server, in this process, over both transports: where it differs from the reference, we go along."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
import socketio as theirs
from httpx_ws.transport import ASGIWebSocketTransport

from exportctl.protocol.connection import Connection
from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    ClosedBy,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
)
from wire.carriers import CARRIERS


@asynccontextmanager
async def serve(**how):
    server = theirs.AsyncServer(async_mode="asgi", monitor_clients=False, **how)
    # It keeps no hold of its ping timers, which run on for 25 s after a session's end: they are ended here.
    tasks = []
    start = server.eio.start_background_task

    def start_and_hold(target, *args, **kwargs):
        tasks.append(start(target, *args, **kwargs))
        return tasks[-1]

    server.eio.start_background_task = start_and_hold

    @server.event
    async def connect(sid, _environ, auth=None):
        await server.emit("early", {"auth": auth}, to=sid)
        if auth and "refuse" in auth:
            raise theirs.exceptions.ConnectionRefusedError(*auth["refuse"])

    @server.event
    async def echo(_sid, *args):
        return args

    @server.on("ask me")
    async def ask_me(sid, *args):
        async def answered(*answer):
            await server.emit("answered", answer, to=sid)

        await server.emit("question", args, to=sid, callback=answered)

    @server.on("put me out")
    async def put_me_out(sid):
        await server.disconnect(sid)

    @server.on("hang up")
    async def hang_up(sid):
        await server.eio.disconnect(server.manager.eio_sid_from_sid(sid, "/"))

    try:
        yield theirs.ASGIApp(server)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(params=list(CARRIERS))
def dial(request):
    @asynccontextmanager
    async def dialled(connection, **how):
        async with (
            serve(**how) as app,
            httpx.AsyncClient(transport=ASGIWebSocketTransport(app), base_url="http://server") as client,
            CARRIERS[request.param](client, connection) as carrier,
        ):
            yield carrier
            connection.disconnect()
            await carrier.send()

    return dialled


async def test_what_it_emits_while_connecting_comes_before_the_permission_and_is_told_after_it(dial):
    async with dial(Connection(auth={"token": "t"})) as carrier:
        _, connected, early = await carrier.until(EventReceived)
        assert isinstance(connected, Connected)
        assert early == EventReceived(name="early", args=({"auth": {"token": "t"}},))


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        (["Not you"], ConnectRefused(message="Not you", data=None)),
        (["Not you", 401], ConnectRefused(message="Not you", data=401)),
        ([], ConnectRefused(message="Connection rejected by server", data=None)),
    ],
)
async def test_its_refusals_are_told(dial, reason, refused):
    async with dial(Connection(auth={"refuse": reason})) as carrier:
        assert (await carrier.until(ConnectRefused))[-1] == refused


async def test_a_refusal_after_the_permission_is_a_disconnect_with_a_reason(dial):
    async with dial(Connection(auth={"refuse": ["Not you"]}), always_connect=True) as carrier:
        told = await carrier.until(Disconnected)
        assert isinstance(told[1], Connected)
        assert told[-1] == Disconnected(data={"message": "Not you"})


@pytest.mark.parametrize("args", [("text", {"ž": [1, None]}), (b"\x00\xff", {"deep": [b""]}), ()], ids=repr)
async def test_events_and_acknowledgements_go_both_ways(dial, args):
    async with dial(Connection()) as carrier:
        await carrier.event("early")
        ack_id = carrier.connection.emit("echo", *args, ack=True)
        assert await carrier.until(AckReceived) == [AckReceived(ack_id=ack_id, args=args)]
        carrier.connection.emit("ask me", *args)
        (question,) = await carrier.until(EventReceived)
        assert question.args == args
        carrier.connection.ack(question.ack_id, *args)
        assert await carrier.event("answered") == args


async def test_being_put_out_leaves_the_transport_open(dial):
    async with dial(Connection()) as carrier:
        await carrier.event("early")
        carrier.connection.emit("put me out")
        assert await carrier.until(Disconnected) == [Disconnected(data=None)]


async def test_a_server_that_hangs_up_closes_the_connection(dial):
    async with dial(Connection()) as carrier:
        await carrier.event("early")
        carrier.connection.emit("hang up")
        assert await carrier.until(Closed) == [Closed(by=ClosedBy.SERVER)]


async def test_many_packets_at_once_go_in_bodies_that_it_takes(dial):
    async with dial(Connection()) as carrier:
        await carrier.event("early")
        ids = [carrier.connection.emit("echo", number, ack=True) for number in range(50)]
        told = []
        while len(told) < 50:
            told += await carrier.until(AckReceived)
        assert sorted(fact.ack_id for fact in told) == ids
