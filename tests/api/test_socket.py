"""One socket: whatever ends it is a lost socket with the reason in words, and a refusal of the sign-in is none.

The peer is the `websockets` library's server, which says exactly what each test has it say.
"""

import asyncio
import contextlib

import pytest
import websockets.asyncio.server

from exportctl.client.http import Server, open_client
from exportctl.client.socket import SocketLost, open_socket
from exportctl.model.errors import NotAllowed
from exportctl.protocol.happenings import EventReceived
from waiting import PATIENCE

OPEN = '0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
LET_IN = '40{"sid":"x"}'


@contextlib.asynccontextmanager
async def peer_that(says):
    async with websockets.asyncio.server.serve(says, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def socket_to(url, *, token="secret-of-ana"):
    server = Server(url=url, correlation_id="c", token=token)
    async with asyncio.timeout(PATIENCE), open_client(server) as http, open_socket(http, server) as socket:
        yield socket


async def receive_all(url):
    async with socket_to(url) as socket:
        while True:
            await socket.receive()


def plain(words):
    """One frame of text, as a server sends it."""
    return bytes([0x81, len(words)]) + words.encode()


async def greet(connection):
    await connection.send(OPEN)
    hello = await connection.recv()
    await connection.send(LET_IN)
    return hello


async def test_events_come_as_they_are_told_and_pings_are_answered():
    said = []

    async def says(connection):
        said.append(await greet(connection))
        await connection.send("2")
        said.append(await connection.recv())
        await connection.send('42["export:started",{"jobId":"j"}]')
        await connection.wait_closed()

    async with peer_that(says) as url, socket_to(url) as socket:
        assert await socket.receive() == [EventReceived(name="export:started", args=({"jobId": "j"},), ack_id=None)]
    assert said == ['40{"token":"secret-of-ana"}', "3"]


@pytest.mark.parametrize(
    ("farewell", "words"),
    [
        ("1", "the server closed the socket"),
        ("41", "the server closed the socket"),
        ("4x", "the server breaks the protocol"),
        ("rubbish", "the server breaks the protocol"),
        (b"\x00bytes", "the server breaks the protocol"),
    ],
)
async def test_what_ends_a_socket_is_said_in_words(farewell, words):
    async def says(connection):
        await greet(connection)
        await connection.send(farewell)
        await connection.wait_closed()

    async with peer_that(says) as url:
        with pytest.raises(SocketLost, match=words):
            await receive_all(url)


async def test_a_close_and_a_cut_are_lost_sockets():
    async def closes(connection):
        await greet(connection)
        await connection.close(1011)

    async def cuts(connection):
        await greet(connection)
        connection.transport.abort()

    for says, words in ((closes, "closed .1011."), (cuts, "closed|broke")):
        async with peer_that(says) as url:
            with pytest.raises(SocketLost, match=words):
                await receive_all(url)


async def test_a_pong_that_nobody_asked_for_and_pings_without_end_do_no_harm():
    """Both are legal (RFC 6455, section 5.5)."""

    async def says(connection):
        await greet(connection)
        await connection.pong(b"unasked")
        for _ in range(100):
            await (await connection.ping())
        await connection.send('42["export:started",{"jobId":"j"}]')
        await connection.wait_closed()

    async with peer_that(says) as url, socket_to(url) as socket:
        assert [event.name for event in await socket.receive()] == ["export:started"]


async def test_what_came_before_the_end_is_told_before_it():
    async def says(connection):
        await connection.send(OPEN)
        await connection.recv()
        # At once, so that all of it is there when the first of it is read.
        connection.transport.write(
            b"".join(plain(words) for words in (LET_IN, '42["a"]', '42["b"]', "rubbish", '42["never"]'))
        )
        await connection.wait_closed()

    async with peer_that(says) as url, socket_to(url) as socket:
        assert [event.name for event in await socket.receive()] == ["a", "b"]
        with pytest.raises(SocketLost, match="the server breaks the protocol"):
            await socket.receive()


async def test_a_receive_that_was_given_up_loses_nothing():
    go_on = asyncio.Event()

    async def says(connection):
        await greet(connection)
        for number in range(200):
            connection.transport.write(plain(f'42["event",{number}]')[:5])
            await go_on.wait()
            connection.transport.write(plain(f'42["event",{number}]')[5:])
        await connection.wait_closed()

    async with peer_that(says) as url, socket_to(url) as socket:
        numbers = []
        while len(numbers) < 200:
            receiving = asyncio.ensure_future(socket.receive())
            await asyncio.wait([receiving], timeout=0)
            receiving.cancel()
            go_on.set()
            with contextlib.suppress(asyncio.CancelledError):
                numbers += [event.args[0] for event in await receiving]
    assert numbers == list(range(200))


async def test_a_message_beyond_all_measure_is_refused_by_its_header():
    async def says(connection):
        await greet(connection)
        connection.transport.write(b"\x81\x7f" + (2**40).to_bytes(8))
        await connection.wait_closed()

    async with peer_that(says) as url:
        with pytest.raises(SocketLost, match="the WebSocket protocol: a message of more than 16777216 bytes"):
            await receive_all(url)


async def test_a_server_that_reads_nothing_holds_nobody_up(monkeypatch):
    monkeypatch.setattr("exportctl.client.socket.SEND_SECONDS", 0.05)
    monkeypatch.setattr("exportctl.client.websocket._CLOSE_SECONDS", 0.05)
    done = asyncio.Event()

    async def says(connection):
        await greet(connection)
        connection.transport.pause_reading()
        await done.wait()
        connection.transport.resume_reading()  # else its own end would be waited for in vain

    async def speak(socket):
        while True:
            socket.emit("event", "a" * 900_000)
            await socket.flush()

    async with peer_that(says) as url, socket_to(url) as socket:
        with pytest.raises(SocketLost, match="the server took nothing"):
            await speak(socket)
        done.set()


async def test_a_server_that_takes_the_connection_and_never_answers_is_no_socket(monkeypatch):
    monkeypatch.setattr("exportctl.client.socket.CONNECT_SECONDS", 0.05)

    async def says(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(says, "127.0.0.1", 0) as listening:
        with pytest.raises(SocketLost, match="it took the request and did not answer"):
            await receive_all(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")


async def test_a_refused_sign_in_is_no_lost_socket_and_names_no_token():
    async def says(connection):
        await connection.send(OPEN)
        await connection.recv()
        await connection.send('44{"message":"Authentication failed"}')
        await connection.wait_closed()

    async with peer_that(says) as url:
        with pytest.raises(NotAllowed, match="Authentication failed") as caught:
            await receive_all(url)
    assert "secret-of-ana" not in f"{caught.value.message}{caught.value.hint}"


async def test_where_no_socket_is_there_is_a_reason_in_words():
    def refuses(connection, _request):
        return connection.respond(404, "no such page")

    async def never(_connection):
        pytest.fail("nobody is let in")

    async with websockets.asyncio.server.serve(never, "127.0.0.1", 0, process_request=refuses) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        with pytest.raises(SocketLost, match="404"):
            await receive_all(url)
    with pytest.raises(SocketLost, match="no answer from"):
        await receive_all(url)


async def test_what_is_raised_while_it_is_open_comes_out_as_it_was_raised():
    async def says(connection):
        await greet(connection)
        await connection.wait_closed()

    async def body(url):
        async with socket_to(url):
            raise ZeroDivisionError

    async with peer_that(says) as url:
        with pytest.raises(ZeroDivisionError):
            await body(url)
