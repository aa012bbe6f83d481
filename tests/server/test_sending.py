"""Parts of files as uvicorn's protocol sends them: whole, in order, at no cost of who waits, cut where they are cut."""

import asyncio
import contextlib
import errno
import os
import ssl
import threading
from pathlib import Path

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from authority import found_authority
from exportctl.server import sending
from exportctl.server.messages import disconnected
from exportctl.server.sending import FileProtocol, ShorterError, send_part
from waiting import until

SIZE = 40_000_001
"""More than the buffers of a connection take."""
PIECES = 7


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive.zip"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def authority(tmp_path):
    return found_authority(tmp_path)


class Site:
    """Answers every request with the file: `/whole` with its size, any other path in pieces of unknown number."""

    def __init__(self, path, tls=None):
        self.path, self.ended, self._tls = path, [], tls

    async def app(self, scope, receive, send):
        work = asyncio.create_task(self.answer(scope, send))
        gone = asyncio.create_task(disconnected(receive))
        await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
        for task in (work, gone):
            task.cancel()
        said = await asyncio.gather(work, gone, return_exceptions=True)
        self.ended.append(said[0])
        if isinstance(said[0], ShorterError):
            raise said[0]

    async def answer(self, scope, send):
        headers = [(b"content-length", b"%d" % SIZE)] if scope["path"] == "/whole" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with self.path.open("rb") as file:
            for number in range(PIECES):
                part = range(SIZE * number // PIECES, SIZE * (number + 1) // PIECES)
                await send_part(scope, send, file.fileno(), part)
        await send({"type": "http.response.body"})

    @contextlib.asynccontextmanager
    async def served(self):
        config = uvicorn.Config(self.app, interface="asgi3", lifespan="off", log_config=None)
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: FileProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0, ssl=self._tls
        )
        async with server:
            yield server.sockets[0].getsockname()[1]


async def asked(port, path="/whole", **options):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader, writer


async def body(reader, head=b""):
    head += await reader.readuntil(b"\r\n\r\n")
    if b"content-length" in head:
        return await reader.readexactly(SIZE)
    whole = bytearray()
    while size := int(await reader.readuntil(b"\n"), 16):
        whole += await reader.readexactly(size + 2)
        del whole[-2:]
    assert await reader.readline() == b"\r\n"
    return bytes(whole)


def opened(path):
    """Count the descriptors of this process that are open on a file."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(link.readlink())
    return found.count(path)


@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_every_answer_of_a_connection_is_the_file(archive, path):
    async def main():
        site = Site(archive)
        async with site.served() as port:
            reader, writer = await asked(port, path)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())  # before the first is answered
            assert [await body(reader), await body(reader)] == [archive.read_bytes()] * 2
            await until(lambda: site.ended == [None, None])
            writer.close()

    uvloop.run(main())


def test_where_the_kernel_does_not_send_files_they_come_all_the_same(archive, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EINVAL, "not of this file system")

    monkeypatch.setattr(sending.os, "sendfile", refuses)

    async def main():
        async with Site(archive).served() as port:
            reader, writer = await asked(port)
            assert await body(reader) == archive.read_bytes()
            writer.close()

    uvloop.run(main())


def test_over_tls_the_file_comes_all_the_same(archive, authority):
    async def main():
        trust = ssl.create_default_context(cafile=authority.bundle)
        async with Site(archive, authority.context("good")).served() as port:
            reader, writer = await asked(port, "/pieces", ssl=trust, server_hostname="127.0.0.1")
            assert await body(reader) == archive.read_bytes()
            writer.close()

    uvloop.run(main())


def test_readers_that_take_nothing_hold_up_nobody(archive):
    async def main():
        async with Site(archive).served() as port:
            waiting = [await asked(port) for _ in range(40)]  # more than there are threads
            for reader, _ in waiting:
                await reader.readuntil(b"\r\n\r\n")
            reader, writer = await asked(port)
            assert await body(reader) == archive.read_bytes()
            for _, one in [*waiting, (reader, writer)]:
                one.close()

    uvloop.run(main())


def test_a_disk_that_holds_all_downloads_up_holds_nothing_else_up(archive, monkeypatch):
    released, sendfile = threading.Event(), os.sendfile

    def slow(*args):
        released.wait()
        return sendfile(*args)

    monkeypatch.setattr(sending.os, "sendfile", slow)

    async def main():
        async with Site(archive).served() as port:
            readers = [await asked(port) for _ in range(40)]  # more than there are threads
            try:
                for reader, _ in readers:
                    await reader.readuntil(b"\r\n\r\n")
                assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
            finally:
                released.set()
            for _, writer in readers:
                writer.close()

    uvloop.run(main())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are seen in /proc")
@pytest.mark.parametrize("is_reset", [True, False])
def test_readers_that_go_leave_nothing_behind(archive, is_reset):
    async def main():
        site = Site(archive)
        async with site.served() as port:
            reader, writer = await asked(port)
            await reader.readuntil(b"\r\n\r\n")
            assert opened(archive) == 1
            if is_reset:
                writer.transport.abort()
            writer.close()
            await until(lambda: site.ended)
            assert opened(archive) == 0

    uvloop.run(main())


@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_what_is_sent_to_a_reader_that_is_gone_is_no_error(archive, path):
    async def main():
        site = Site(archive)

        async def app(scope, receive, send):
            async def late(message):
                if message["type"] != "http.response.start":
                    await disconnected(receive)
                await send(message)

            site.ended += await asyncio.gather(site.answer(scope, late), return_exceptions=True)

        site.app = app
        async with site.served() as port:
            _, writer = await asked(port, path)
            writer.transport.abort()
            await until(lambda: site.ended)
            assert site.ended == [None]

    uvloop.run(main())


@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_a_file_that_is_cut_meanwhile_never_ends_cleanly(archive, path):
    async def main():
        site = Site(archive)
        async with site.served() as port:
            reader, writer = await asked(port, path)
            first = await reader.readexactly(1)  # the rest fits into no buffer
            await asyncio.to_thread(os.truncate, archive, SIZE - 1)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await body(reader, first)
            writer.close()
            await until(lambda: site.ended)
        assert isinstance(site.ended[0], ShorterError)

    uvloop.run(main())
