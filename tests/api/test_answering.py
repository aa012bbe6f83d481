"""Answers are held within bounds: a trickle, a flood, a packed one that nobody asked for, a head that never ends."""

import asyncio
import contextlib
import gzip

import httpx
import pytest

from exportctl.client import answering, failures
from exportctl.client.http import Server, open_client
from waiting import PATIENCE

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def asked_of(says, **options):
    """Ask a server that says what it is told to; give what came of it."""

    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await says(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(PATIENCE), open_client(Server(url=url, correlation_id="c")) as http:
            yield http.build_request("GET", "/api/projects", **options), http
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def test_a_body_that_trickles_is_left(monkeypatch):
    monkeypatch.setattr(answering, "PATIENCE", 0.05)

    async def says(writer):
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with asked_of(says) as (request, http):
        with pytest.raises(httpx.ReadTimeout):
            await http.send(request)


async def test_a_head_that_comes_drop_by_drop_is_left(monkeypatch):
    monkeypatch.setattr(answering, "SIGN_IN_SECONDS", 0.0)

    async def says(writer):
        writer.write(HEAD)
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with asked_of(says, timeout=httpx.Timeout(0.1, pool=None)) as (request, http):
        with pytest.raises(httpx.ReadTimeout):
            await http.send(request)


@pytest.mark.parametrize("status", [b"200", b"401", b"500"])
async def test_a_body_without_end_is_left_at_the_limit(monkeypatch, status):
    monkeypatch.setattr(answering, "LARGEST", 100_000)

    async def says(writer):
        writer.write(b"HTTP/1.1 " + status + b" X\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with asked_of(says) as (request, http):
        with pytest.raises(answering.TooLongError) as caught:
            await http.send(request)
    error = failures.from_transport(caught.value, "http://127.0.0.1")
    assert (error.code, failures.is_passing(error)) == ("TOO_LONG", False)


async def test_no_answer_is_asked_for_packed_and_one_that_is_has_a_limit_of_its_own(monkeypatch):
    monkeypatch.setattr(answering, "LARGEST_PACKED", 1000)
    bomb = gzip.compress(bytes(2 * 2**20))

    async def says(writer):
        writer.write(HEAD + b"Content-Encoding: gzip\r\n\r\n" + bomb)
        await writer.drain()

    async with asked_of(says) as (request, http):
        assert request.headers["Accept-Encoding"] == "identity"
        with pytest.raises(answering.TooLongError):
            await http.send(request)


async def test_a_small_answer_that_is_packed_is_read_all_the_same():
    async def says(writer):
        writer.write(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"a": 1}'))
        await writer.drain()

    async with asked_of(says) as (request, http):
        assert (await http.send(request)).json() == {"a": 1}
