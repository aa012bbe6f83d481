"""Parts of files to a client: by the kernel where it can (sendfile), else block by block.

The way through uvicorn is ASGI's extension `http.response.zerocopysend`, which it does not have itself: `FileProtocol`
offers it on connections without TLS. Bytes go out in bursts on a thread, since a disk may have to be waited for; while
a client takes nothing, no thread is held, only the connection. Against a copy through Python's memory that halves the
server's processor time (tests/bench/download.py).
"""

import asyncio
import contextlib
import errno
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from starlette.types import Message, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ZERO_COPY: Final = "http.response.zerocopysend"
BLOCK: Final = 1 << 18
_BURST: Final = 1 << 24
"""Bytes after which a thread is given back, however fast its client takes them."""
_BURSTS: Final = ThreadPoolExecutor(4, thread_name_prefix="sending")
"""Of their own: many downloads wait for each other, and nobody who asks for anything else waits for them."""
_NO_SENDFILE: Final = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Of file systems, and of kinds of sockets on some systems."""


class ShorterError(OSError):
    """The file ends before the part to be sent does."""

    def __init__(self) -> None:
        super().__init__("the file is shorter than it was")


async def send_part(scope: Scope, send: Send, file: int, part: range) -> None:
    """Send the bytes `part` of an open file, more to come. Raises ShorterError.

    Of a client that is gone nothing is said, as with ASGI's `send`: watch it with `disconnected`.
    """
    if ZERO_COPY in scope.get("extensions", {}):
        message = {"type": ZERO_COPY, "file": file, "offset": part.start, "count": len(part), "more_body": True}
        await send(message)
        return
    for start in range(part.start, part.stop, BLOCK):
        length = min(BLOCK, part.stop - start)
        block = await asyncio.to_thread(os.pread, file, length, start)
        if len(block) != length:
            raise ShorterError
        await send({"type": "http.response.body", "body": block, "more_body": True})


class FileProtocol(HttpToolsProtocol):
    """Uvicorn's protocol for HTTP, with the extension."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._news = asyncio.Event()
        self._is_lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone."""
        super().connection_lost(exc)
        self._is_lost = True
        self._news.set()

    def blocked(self) -> None:
        """Hear that the client must take something before more is sent; `unblocked` follows."""

    def unblocked(self) -> None:
        """Hear that it did, or is gone."""

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        super().pause_writing()
        self.blocked()

    def resume_writing(self) -> None:
        """Note that it does again."""
        super().resume_writing()
        self.unblocked()

    def on_headers_complete(self) -> None:
        """Offer the extension to whoever answers this request."""
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is before or self.scheme != "http" or not hasattr(os, "sendfile"):
            return
        send_others = cycle.send

        async def send(message: Message) -> None:
            if message["type"] != ZERO_COPY:
                await send_others(message)  # type: ignore[arg-type]  # Starlette's messages are less typed
                return
            start, count = message["offset"], message["count"]
            if cycle.chunked_encoding:
                self._write(b"%x\r\n" % count)
            await self._send_file(message["file"], start, count)
            if cycle.chunked_encoding:
                self._write(b"\r\n")
            else:
                cycle.expected_content_length -= count
            if not message.get("more_body", False):
                await send_others({"type": "http.response.body", "body": b"", "more_body": False})

        self.scope["extensions"] = {ZERO_COPY: {}}
        cycle.send = send  # type: ignore[assignment, method-assign]  # there is no other way in

    def _write(self, data: bytes) -> None:
        """Write, if the client is there: a transport that is closed raises RuntimeError."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def _send_file(self, file: int, start: int, count: int) -> None:
        """Send so many bytes of a file from `start` on, or return when the client is gone. Raises ShorterError."""
        if not self.transport.is_closing():
            # What was written before, the head of the answer for one, is the kernel's before this goes past it.
            self.transport.set_write_buffer_limits(high=0)
        await self.flow.drain()
        stop = start + count
        with contextlib.ExitStack() as end:
            ours = None
            while start < stop and not self.transport.is_closing():
                if ours is None:
                    # The loop lets nobody watch a transport's own descriptor.
                    ours = end.enter_context(self.transport.get_extra_info("socket").dup())
                burst = self.loop.run_in_executor(_BURSTS, _burst, ours, file, start, stop)
                try:
                    start += await asyncio.shield(burst)
                except ConnectionError:
                    self.transport.abort()
                finally:
                    await asyncio.wait([burst])  # else it would go on with descriptors that are others' by then
                    burst.exception()  # looked at: nobody else does where this was cancelled meanwhile
                if start < stop and not self.transport.is_closing():
                    await self._room(ours)
        while not self._is_lost and start < stop:
            # Whoever asks next whether the client is gone must be told so.
            self._news.clear()
            await self._news.wait()

    async def _room(self, ours: socket.socket) -> None:
        """Return when the client has taken something, or is gone."""
        loop = asyncio.get_running_loop()
        self._news.clear()
        loop.add_writer(ours, self._news.set)
        self.blocked()
        try:
            await self._news.wait()
        finally:
            self.unblocked()
            loop.remove_writer(ours)


def _burst(to: socket.socket, file: int, start: int, stop: int) -> int:
    """Send until the client's buffers are full; return how many bytes went out. Raises ShorterError."""
    stop, at = min(stop, start + _BURST), start
    while at < stop:
        try:
            try:
                got = os.sendfile(to.fileno(), file, at, stop - at)
            except OSError as error:
                if error.errno not in _NO_SENDFILE:
                    raise
                block = os.pread(file, min(BLOCK, stop - at), at)
                got = to.send(block) if block else 0
        except BlockingIOError:
            break
        if not got:
            raise ShorterError
        at += got
    return at - start
