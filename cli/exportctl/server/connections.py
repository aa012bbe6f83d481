"""HTTP connections of clients that say nothing, too slowly, or too much.

Uvicorn waits for the head of a request for ever, takes one of any size, and answers however many come at once. Here a
head has a time and a size, is refused where two readers could understand it differently (RFC 9112), and few may wait
for their answers. As many connections as one likes may be begun, but few are kept that have not said what they want:
the one that has waited longest is cut for a new one. A client that takes nothing of its answer is cut after `patience`,
and earlier where there are too many. Whoever asks at once is answered, however many others do not.
"""

import asyncio
import itertools
import json
import logging
import re
import resource
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar, Final

from exportctl.server.handshakes import upgrade_problem
from exportctl.server.patience import Patience
from exportctl.server.security import HEADERS
from exportctl.server.sending import FileProtocol

logger = logging.getLogger(__name__)

LARGEST_HEAD: Final = 64 << 10
MOST_SILENT: Final = 1000
"""Connections kept that have not said what they want to the end, or nothing since their last answer."""
MOST_WAITING: Final = 16
"""Requests of one connection that wait for the answer of one before them: nobody sends so many but to do harm."""
_SPARE_FILES: Final = 500
"""For logs, archives, downloads and workers."""
_WANTED_FILES: Final = 10_000
_MOMENT: Final = 2.0
"""How long a client may take nothing and be only slow, however many others want its place."""
_LOOKED_AT: Final = 100
"""Of those, how many are looked at for each that comes."""
_LAST_SECONDS: Final = 1.0
"""How long a refusal may take to be read."""
_HOST: Final = re.compile(rb"([\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(:\d*)?")
"""RFC 9110, 7.2: no user, no space; empty is allowed."""


class _RefusedError(Exception):
    """The connection is being ended: what else was sent is not read."""


class Connection(FileProtocol):
    """A connection whose requests have a head of a bounded size in a bounded time.

    Subclassed for each server, which sets `head_seconds`, `patience` (seconds in which a client must take something),
    `most` (connections in all), a `silent` (since when, by the loop's clock) and a `stalled` of its own.
    """

    head_seconds: ClassVar[float]
    patience: ClassVar[float]
    most: ClassVar[int]
    silent: ClassVar[dict["Connection", float]]
    stalled: ClassVar[dict["Connection", None]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._late: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._head = self._heads = self._answers = self._framing = 0
        self._had_body = False
        self._taking: Patience | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a request; whoever has waited longest goes if there are too many."""
        self._speak_over(transport)
        self._expect()
        if len(self.silent) > MOST_SILENT or len(self.connections) > self.most:
            self._make_room()

    def _speak_over(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._taking = Patience(transport, self.patience, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._expect_no_more()
        self.unblocked()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take no head that never ends, and no trailer or other framing of a body that does not."""
        was_in_head, heads, self._had_body = self._is_in_head, self._heads, False
        super().data_received(data)
        if not was_in_head:
            self._framing = 0 if self._had_body else self._framing + len(data)
            if self._framing > LARGEST_HEAD:
                self.transport.abort()
            return
        if self._heads != heads:
            return
        self._head += len(data)
        if self._head > LARGEST_HEAD:
            self._refuse(431, "HEAD_TOO_LARGE", f"The request's head is larger than {LARGEST_HEAD} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, and no trailer, which says nothing here: RFC 9110, 6.5.1."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Note that there is more of a body."""
        self._had_body = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Note that the request is known, but for its body."""
        problem = self._problem()
        if problem is not None:
            self._refuse(*problem)
            raise _RefusedError
        self._is_in_head, self._head, self._framing = False, 0, 0
        self._heads += 1
        self._expect_no_more()
        self.silent[self] = self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is known, and that the next head may come."""
        self._is_in_head = True
        super().on_message_complete()
        if self._answers < self._heads:
            self._expect_no_more()
        elif not self.transport.is_closing():
            self._expect()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._answers += 1
        super().on_response_complete()
        if self.transport.is_closing():
            self._see_off()
        elif not self.pipeline:
            self._expect()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has no more to ask, once its client has taken what it asked for."""
        super().timeout_keep_alive_handler()
        self._see_off()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the websocket, if it may become one."""
        lines = [f"{self.scope['method']} ".encode() + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers]
        problem = upgrade_problem(b"\r\n".join([*lines, b"", b""]))
        if problem is not None:
            self._refuse(400, "BAD_UPGRADE", problem, {"Sec-WebSocket-Version": "13"})
            return
        self._expect_no_more()
        self.unblocked()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in our form."""
        self._refuse(400, "BAD_REQUEST", msg)

    def blocked(self) -> None:
        """Wait for the client to take something."""
        if self._taking is not None and not self.transport.is_closing():
            self._taking.begin()
            self.stalled[self] = None

    def unblocked(self) -> None:
        """Wait for it no more."""
        self.stalled.pop(self, None)
        if self._taking is not None:
            self._taking.end()

    def _problem(self) -> tuple[int, str, str] | None:
        """Say why a request is not taken: RFC 9112, 2.3, 3.2, 6.1."""
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            return 505, "BAD_VERSION", "HTTP/1.1 is spoken here"
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > LARGEST_HEAD:
            return 431, "HEAD_TOO_LARGE", f"The request's head is larger than {LARGEST_HEAD} bytes"
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            return 400, "BAD_REQUEST", "A request has one Host"
        if hosts and not _HOST.fullmatch(hosts[0]):
            return 400, "BAD_REQUEST", "The Host is no name or address"
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and version == "1.0":
            return 400, "BAD_REQUEST", "A request of HTTP/1.0 has no Transfer-Encoding"
        if codings and codings != [b"chunked"]:
            return 501, "NOT_IMPLEMENTED", "The only Transfer-Encoding understood is chunked"
        if len(self.pipeline) >= MOST_WAITING:
            return 429, "TOO_MANY_REQUESTS", f"{MOST_WAITING} requests of this connection wait for an answer already"
        return None

    def _make_room(self) -> None:
        """End the connection that has waited longest to say what it wants, or to take what it asked for."""
        now = self.loop.time()
        longest, since = next(iter(self.silent.items()), (self, now))
        if len(self.silent) <= MOST_SILENT:
            least = max(now - since, _MOMENT)
            for one in tuple(itertools.islice(self.stalled, _LOOKED_AT)):
                if one.waited() > least:
                    longest = one
                    break
                self.stalled[one] = self.stalled.pop(one)  # others are looked at the next time
        longest.give_way()

    def waited(self) -> float:
        """Return for how many seconds the client has taken nothing that it should."""
        return self._taking.waited() if self._taking is not None else 0.0

    def give_way(self) -> None:
        """End, and count no more from now on: of several that come at a time, each has one give way."""
        self._expect_no_more()
        self.unblocked()
        self.connections.discard(self)
        self.transport.abort()

    def _give_up(self) -> None:
        logger.info("A client that takes nothing is cut")
        self.transport.abort()

    def _expect(self) -> None:
        self._expect_no_more()
        self.silent[self] = self.loop.time()
        self._late = self.loop.call_later(self.head_seconds, self._cut)

    def _expect_no_more(self) -> None:
        self.silent.pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        if self._head:
            self._refuse(408, "HEAD_TOO_SLOW", "The request's head did not come in time")
        elif self._owes():
            self.timeout_keep_alive_handler()
        else:
            self.transport.abort()

    def _owes(self) -> bool:
        """Say whether the client has still to take something."""
        return self._taking is not None and self._taking.untaken() > 0

    def _see_off(self) -> None:
        """Keep a connection that is being closed while its client takes the rest; over TLS it would have to agree."""
        if self._is_lost or self._taking is None:
            return
        if self not in self.stalled:
            self._taking.begin()
            self.stalled[self] = None
        self._expect_no_more()
        self._late = self.loop.call_later(self.head_seconds, self._leave)

    def _leave(self) -> None:
        if self._owes():
            self._see_off()
        else:
            self.transport.abort()

    def _refuse(self, status: int, code: str, error: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
        if self.transport.is_closing():
            return
        body = json.dumps({"success": False, "error": error, "code": code}).encode()
        headers = {
            **HEADERS,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **more,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()
        # Closing waits for the client to take it.
        self.loop.call_later(_LAST_SECONDS, self.transport.abort)


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
