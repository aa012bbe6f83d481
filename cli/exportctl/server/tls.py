"""TLS in front of HTTP: a connection whose handshake has not ended is one that has not said what it wants.

The loop's own servers show a connection only behind its handshake: thousands that never end theirs could neither be
counted nor cut. Here each is counted and timed from its first moment on, and its TLS begins with the first bytes that
come. Whoever speaks HTTP in the clear is told so.
"""

import asyncio
import contextlib
import ssl
from typing import Any, ClassVar, Final, cast

from uvicorn.protocols.utils import is_ssl

from exportctl.server.connections import Connection

_HANDSHAKE: Final = 22
"""What every record of a handshake begins with: RFC 8446, 5.1."""


class TlsConnection(Connection):
    """A connection that speaks TLS with `context`, which has the time of the first head for its handshake."""

    context: ClassVar[ssl.SSLContext]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_shaking = False
        self._early = b""

    def data_received(self, data: bytes) -> None:
        """Begin TLS with the first bytes, and take what comes over it."""
        if self._is_shaking:
            # Over TLS already: asyncio's own loop, unlike uvloop, gives it before it says that the handshake has ended.
            self._early += data
        elif is_ssl(self.transport):
            super().data_received(data)
        elif data[0] == _HANDSHAKE:
            self._begin(data)
        else:
            self._refuse(400, "TLS_WANTED", "TLS is spoken here: the address begins with https")

    def _begin(self, first: bytes) -> None:
        raw = self.transport
        raw.pause_reading()
        self._is_shaking = True
        shaking = self.loop.create_task(self._shake_hands(raw))
        self.tasks.add(shaking)
        shaking.add_done_callback(self.tasks.discard)
        # Behind the beginning of the loop's TLS, which that task asks for, and before anything else is read.
        self.loop.call_soon(self.loop.call_soon, _hand_over, raw, first)

    async def _shake_hands(self, raw: asyncio.Transport) -> None:
        secret = None
        try:
            with contextlib.suppress(OSError):  # of clients that are gone, or speak no TLS that this server does
                secret = await self.loop.start_tls(
                    raw,
                    self,
                    self.context,
                    server_side=True,
                    ssl_handshake_timeout=self.head_seconds,
                    ssl_shutdown_timeout=self.patience,
                )
        finally:
            self._is_shaking = False
            if secret is None or raw.is_closing():
                raw.abort()
                self.connection_lost(None)
        if secret is not None and not raw.is_closing():
            self._speak_over(secret)
            if self._early:
                self.data_received(self._early)


def _hand_over(raw: asyncio.Transport, first: bytes) -> None:
    """Give the loop's TLS what was read before it began."""
    if not raw.is_closing():
        protocol = cast("asyncio.BufferedProtocol", raw.get_protocol())
        memoryview(protocol.get_buffer(len(first)))[: len(first)] = first
        protocol.buffer_updated(len(first))
