"""The official Socket.IO server, over both transports: what a client needs of it works, and both agree on the state."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from exportctl.protocol.connection import Connection
from exportctl.protocol.errors import LocalProtocolError
from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    ClosedBy,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Opened,
)
from exportctl.protocol.lifecycle import State
from wire.carriers import CARRIERS, PATIENCE, Polling, websocket

VALUES = ["text", "žluťoučký \u2028 \U0001f9ec", 0, -1.5, 2**53 - 1, True, None, [], {}, {"a": [{"b": None}]}]


@pytest.fixture
async def client(node_server):
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{node_server}", trust_env=False, timeout=PATIENCE
    ) as client:
        yield client


@pytest.fixture(params=list(CARRIERS))
def transport(request):
    return request.param


@pytest.fixture
def dial(client, transport):
    @asynccontextmanager
    async def dialled(**how):
        async with CARRIERS[transport](client, Connection(**how)) as carrier:
            yield carrier
            carrier.connection.disconnect()
            await carrier.send()

    return dialled


async def test_a_session_opens_and_connects_with_auth(dial, transport):
    async with dial(auth={"token": "ž"}) as carrier:
        opened, connected = await carrier.until(Connected)
        assert isinstance(opened, Opened)
        assert opened.handshake.max_payload == 100_000
        assert opened.handshake.ping_interval == 0.2
        assert connected.sid != opened.handshake.sid
        assert await carrier.event("welcome") == ({"auth": {"token": "ž"}, "transport": transport},)


async def test_a_refusal_by_a_middleware_is_told_with_its_data(dial):
    async with dial(auth={"refuse": "Not you"}) as carrier:
        _, refused = await carrier.until(ConnectRefused)
        assert refused == ConnectRefused(message="Not you", data={"code": "REFUSED", "retry": False})
        assert carrier.connection.state is State.LEFT


async def test_events_go_there_and_back_unchanged(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("echo", *VALUES)
        assert await carrier.event("echoed") == tuple(VALUES)


async def test_bytes_go_there_and_back_unchanged(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        deep = {"deep": [b"\x00\xff" * 100, {"empty": b""}]}
        carrier.connection.emit("echo", b"\x01\x02", deep)
        assert await carrier.event("echoed") == (b"\x01\x02", deep)


async def test_our_events_are_acknowledged_each_by_its_id(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        ids = [carrier.connection.emit("echo", number, ack=True) for number in range(3)]
        told = []
        while len(told) < 3:
            told += await carrier.until(AckReceived)
        assert told == [AckReceived(ack_id=ack_id, args=(number,)) for number, ack_id in enumerate(ids)]
        with_bytes = carrier.connection.emit("echo", b"\x07", ack=True)
        assert await carrier.until(AckReceived) == [AckReceived(ack_id=with_bytes, args=(b"\x07",))]


@pytest.mark.parametrize("answer", [("yes", {"n": 1}), (b"\x00\x01",), ()], ids=["values", "bytes", "nothing"])
async def test_the_servers_events_are_acknowledged_by_us(dial, answer):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("ask me", "how are you?")
        (question,) = await carrier.until(EventReceived)
        assert (question.name, question.args) == ("question", ("how are you?",))
        carrier.connection.ack(question.ack_id, *answer)
        assert await carrier.event("answered") == answer


async def test_many_events_keep_their_order(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("many", 3000)
        told = []
        while len(told) < 3000:
            told += await carrier.until(EventReceived)
        assert [fact.args for fact in told] == [(number,) for number in range(3000)]


async def test_many_of_our_events_keep_their_order_in_bodies_that_the_server_takes(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        for number in range(300):
            carrier.connection.emit("echo", number, "x" * 1000)
        told = []
        while len(told) < 300:
            told += await carrier.until(EventReceived)
        assert [fact.args[0] for fact in told] == list(range(300))


async def test_the_largest_packet_that_we_send_is_the_largest_that_the_server_takes(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        room = carrier.connection.handshake.max_payload - len('42["echo",""]')
        carrier.connection.emit("echo", "x" * room)
        assert await carrier.event("echoed") == ("x" * room,)
        with pytest.raises(LocalProtocolError):
            carrier.connection.emit("echo", "x" * (room + 1))


async def test_the_session_lives_on_while_pings_are_answered(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        async with asyncio.timeout(PATIENCE):
            while carrier.sent.count("3") < 3:
                assert await carrier.receive() == []
                await carrier.send()
        carrier.connection.emit("echo", "alive")
        assert await carrier.event("echoed") == ("alive",)


async def test_being_put_out_leaves_the_transport_open(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("put me out")
        assert await carrier.until(Disconnected) == [Disconnected(data=None)]
        assert carrier.connection.state is State.LEFT
        carrier.sent.clear()
        async with asyncio.timeout(PATIENCE):
            while "3" not in carrier.sent:
                assert await carrier.receive() == []
                await carrier.send()


async def test_a_server_that_hangs_up_closes_the_connection(dial, transport):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("hang up")
        # A WebSocket is closed without a word of Engine.IO; a polling session is told.
        by = ClosedBy.TRANSPORT if transport == "websocket" else ClosedBy.SERVER
        assert await carrier.until(Closed) == [Disconnected(data=None), Closed(by=by)]


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_a_cut_transport_closes_the_connection(dial):
    async with dial() as carrier:
        await carrier.event("welcome")
        carrier.connection.emit("cut")
        assert await carrier.until(Closed) == [Closed(by=ClosedBy.TRANSPORT)]


async def test_the_server_learns_that_we_left(dial, transport):
    async with dial() as witness:
        await witness.event("welcome")
        async with dial() as leaver:
            _, connected, *_ = await leaver.until(EventReceived)
            leaver.connection.disconnect()
            await leaver.send()
            assert leaver.sent[-2:] == ["41", "1"]
        # In one polling body the close overtakes the disconnect there, which is put off to the next tick.
        reason = "client namespace disconnect" if transport == "websocket" else "transport close"
        await witness.until(lambda fact: getattr(fact, "args", None) == (connected.sid, reason))


async def test_a_polling_session_goes_on_over_a_websocket(client):
    connection = Connection()
    before = Polling(client, connection)
    await before.event("welcome")
    assert connection.handshake.upgrades == ("websocket",)
    async with websocket(client, connection, sid=connection.handshake.sid) as after:
        await after.socket.send_text("2probe")
        assert await after.socket.receive_text() == "3probe"
        # The server ends the GET that waits, or the next one, with a noop; then nobody polls any more.
        body = ""
        while "6" not in body.split("\x1e"):
            body = (await client.get("/socket.io/", params=before.query)).text
            assert list(connection.receive_payload(body)) == []
        await after.socket.send_text("5")
        connection.emit("echo", "upgraded")
        assert await after.event("echoed") == ("upgraded",)
        connection.disconnect()
        await after.send()


async def test_a_session_that_the_server_does_not_know_is_closed(client):
    connection = Connection()
    carrier = Polling(client, connection)
    await carrier.event("welcome")
    connection.emit("hang up")
    await carrier.until(Closed)
    unknown = Connection()
    unknown.receive_text(f'0{{"sid":"{connection.handshake.sid}","upgrades":[],"pingInterval":1,"pingTimeout":1}}')
    unknown.data_to_send()
    assert await Polling(client, unknown).until(Closed) == [Closed(by=ClosedBy.TRANSPORT)]
