"""HTTP connections of clients that say nothing, too slowly, or too much.

Uvicorn waits for the head of a request for ever, and takes one of any size. Here a head has a time and a size; and as
many connections as one likes may be begun, but few are kept that say nothing: the one that has waited longest is cut
for a new one. Whoever asks at once is answered, however many others do not.
"""

import asyncio
import json
import resource
from http import HTTPStatus
from typing import Any, ClassVar, Final

from exportctl.server.security import HEADERS
from exportctl.server.sending import FileProtocol

LARGEST_HEAD: Final = 64 << 10
MOST_SILENT: Final = 1000
"""Connections kept that have not said what they want, or nothing since their last answer."""
_SPARE_FILES: Final = 500
"""For logs, archives, downloads and workers."""
_WANTED_FILES: Final = 10_000
_LAST_SECONDS: Final = 1.0
"""How long a refusal may take to be read."""


class Connection(FileProtocol):
    """A connection whose requests have a head of a bounded size in a bounded time.

    Subclassed for each server, which sets `head_seconds`, `most` (connections in all) and a `silent` of its own.
    """

    head_seconds: ClassVar[float]
    most: ClassVar[int]
    silent: ClassVar[dict["Connection", None]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._late: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._head = self._heads = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a request; whoever has waited longest goes if there are too many."""
        super().connection_made(transport)
        self._expect()
        if len(self.silent) > MOST_SILENT or len(self.connections) > self.most:
            next(iter(self.silent)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._expect_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take no head that never ends."""
        was_in_head, heads = self._is_in_head, self._heads
        super().data_received(data)
        if not was_in_head or self._heads != heads:
            return
        self._head += len(data)
        if self._head > LARGEST_HEAD:
            self._refuse(431, "HEAD_TOO_LARGE", f"The request's head is larger than {LARGEST_HEAD} bytes")

    def on_headers_complete(self) -> None:
        """Note that the request is known."""
        self._is_in_head, self._head = False, 0
        self._heads += 1
        self._expect_no_more()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the next head may come."""
        self._is_in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._expect()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in our form."""
        self._refuse(400, "BAD_REQUEST", msg)

    def _expect(self) -> None:
        self._expect_no_more()
        self.silent[self] = None
        self._late = self.loop.call_later(self.head_seconds, self._cut)

    def _expect_no_more(self) -> None:
        self.silent.pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        if self._head:
            self._refuse(408, "HEAD_TOO_SLOW", "The request's head did not come in time")
        else:
            self.transport.abort()

    def _refuse(self, status: int, code: str, error: str) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"success": False, "error": error, "code": code}).encode()
        headers = {
            **HEADERS,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()
        # Closing waits for the client to take it.
        self.loop.call_later(_LAST_SECONDS, self.transport.abort)


def connection_for(head_seconds: float, most: int) -> type[Connection]:
    """Return the kind of connection of one server."""
    return type("ServersConnection", (Connection,), {"head_seconds": head_seconds, "most": most, "silent": {}})


def raise_limit() -> None:
    """Let this process have as many files open as it may: every connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _WANTED_FILES if most == resource.RLIM_INFINITY else min(most, _WANTED_FILES)
    if limit > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


def most_connections() -> int:
    """Return how many connections there may be, so that files can still be opened."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _WANTED_FILES if limit == resource.RLIM_INFINITY else min(limit, _WANTED_FILES)
    return max(limit - _SPARE_FILES, limit // 2)
