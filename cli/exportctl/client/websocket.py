"""A WebSocket of httpx-ws whose messages come a chunk at a time, and which has no task of its own.

httpx-ws hands every message through a queue between two tasks, which takes longer than all else that is done with it.
Here whoever receives reads from the stream: what is not asked for stays in the kernel's buffers, and slows the server
down. Pings are answered while something is received.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self

import httpcore
import httpx_ws
from wsproto.frame_protocol import CloseReason

from exportctl.client.frames import Frames, Message

_CHUNK: Final = 2**15
"""Some hundred events: fewer cost more reads, more no longer fit the processor's cache (`tests/bench/follow.py`)."""
_CLOSE_SECONDS: Final = 2.0


class WebSocketEnded(httpx_ws.HTTPXWSException):
    """The server closed the WebSocket, or broke its rules; the words are for people."""


class WebSocket(httpx_ws.AsyncWebSocketSession):
    """What httpx-ws is given as its `session_class`; of the receiving methods only `receive_messages` is for use."""

    _frames: Frames
    _messages: list[Message]

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self, None]:
        self._frames = Frames(self.connection)
        self._messages = []
        try:
            yield self
        finally:
            end = self._frames.end
            # A server that does not read does not keep us: what cannot be said is left unsaid.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.close(CloseReason.NORMAL_CLOSURE if end is None else end.code)
            await self.stream.aclose()

    async def receive_messages(self, patience: float) -> list[Message]:
        """Return the next messages, at least one; a call that was cancelled has lost none.

        Raises TimeoutError if there is none within `patience` seconds, `WebSocketEnded`, `WebSocketNetworkError`.
        """
        async with asyncio.timeout(patience):
            while not self._messages:
                if self._frames.end is not None:
                    raise WebSocketEnded(self._frames.end.words)
                await self._read()
        messages, self._messages = self._messages, []
        return messages

    async def _read(self) -> None:
        try:
            data = await self.stream.read(_CHUNK)
        except httpcore.ReadError as error:
            raise httpx_ws.WebSocketNetworkError from error
        if not data:
            raise httpx_ws.WebSocketNetworkError
        self._messages = self._frames.receive(data)
        ping = self._frames.take_ping()
        if ping is not None and self._frames.end is None:
            await self.send(ping.response())
