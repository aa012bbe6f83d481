"""What `doctor` finds out about the way to a server, against servers and proxies that do one thing wrong each."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from exportctl.client import probe
from exportctl.client.http import Server, open_client

OPEN = '0{"sid":"a","upgrades":[],"pingInterval":200,"pingTimeout":200,"maxPayload":1000000}'


@asynccontextmanager
async def answering(*answers):
    """A server that gives these answers, in turn, to whatever is asked."""
    left = list(answers)

    async def answer(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            status, body = left.pop(0) if len(left) > 1 else left[0]
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()

    async def quietly(reader, writer):
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(quietly, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def sockets(*, pings):
    """A server of sockets that lets everyone in, and pings after each answer, or closes."""

    async def talk(socket):
        await socket.send(OPEN)
        await socket.recv()
        await socket.send('40{"sid":"b"}')
        with contextlib.suppress(ConnectionClosed):
            while pings:
                await socket.send("2")
                await socket.recv()

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def reaching(url):
    server = Server(url=url, correlation_id="c", token="t")
    async with open_client(server) as http:
        yield http, server


async def test_a_socket_that_lasts_until_the_ping_is_well():
    async with sockets(pings=True) as url, reaching(url) as (http, server):
        opened, silent = await probe.socket(http, server)
    assert opened >= 0
    assert silent >= 0


async def test_a_socket_that_is_closed_before_the_ping_is_an_idle_time_out_of_a_proxy():
    async with sockets(pings=False) as url, reaching(url) as (http, server):
        with pytest.raises(probe.Wrong, match="before the server's ping") as wrong:
            await probe.socket(http, server)
    assert wrong.value.hint == probe.IDLE


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (400, '{"code":0,"message":"Transport unknown"}', probe.UPGRADE),
        (426, "", probe.UPGRADE),
        (400, '"Not an accepted origin."', probe.ORIGIN),
        (404, "<html>", probe.UPGRADE),
    ],
)
async def test_an_upgrade_that_is_answered_otherwise_is_told_with_what_to_do(status, body, hint):
    async with answering((status, body)) as url, reaching(url) as (http, server):
        with pytest.raises(probe.Wrong, match=str(status)) as wrong:
            await probe.socket(http, server)
    assert hint in wrong.value.hint


async def test_polling_sessions_that_are_known_again_are_well():
    turn = [(200, OPEN), (200, "ok"), (200, '40{"sid":"b"}'), (200, "ok")]
    held = [*turn[:3], (200, "2"), (200, "ok")]
    async with answering(*turn * 2, *held) as url, reaching(url) as (http, server):
        took, silent = await probe.polling(http, server, is_silent=True)
    assert took >= 0
    assert silent is not None


async def test_a_polling_session_that_the_next_server_does_not_know_is_a_lack_of_stickiness():
    unknown = (400, '{"code":1,"message":"Session ID unknown"}')
    async with answering((200, OPEN), unknown) as url, reaching(url) as (http, server):
        with pytest.raises(probe.Wrong, match="no stickiness") as wrong:
            await probe.polling(http, server)
    assert wrong.value.hint == probe.STICKY


@pytest.mark.parametrize(("date", "ahead"), [("Date: Thu, 01 Jan 1970 00:00:00 GMT", True), ("X: y", False)])
async def test_the_clock_is_held_against_the_servers(date, ahead):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\n{date}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, reaching(url) as (http, _):
        seconds = await probe.clock(http, "/")
    assert (seconds is not None and seconds > 1e9) is ahead
