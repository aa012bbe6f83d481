"""The archive's bytes straight from the socket into a buffer, under httpx: `Wire` is a transport like any other.

httpx's own, h11's copies and reads of 64 kB, costs more than the wire (tests/bench/download.py). Here httpx makes the
request, h11 reads the answer's head, and the body is read by `Body.read_into`, in a thread. All requests
but those for an archive, and all that go through a proxy, stay httpx's own. A connection whose answer was read to its
end serves the next request too: on a long way the next part of an archive costs no new beginning.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final, Self, TypeAlias, TypeVar

import h11
import httpx

from exportctl.client.chunks import Chunks, FramingError

ARCHIVES: Final = "/download"
"""How the paths of archives end (`WIRE.md`)."""
BODY: Final = "exportctl.body"
"""The answer's extension that holds the `Body`."""
GLANCE: Final = 0.05
"""Seconds that one read waits at most: so soon a thread sees that nobody wants its bytes any more."""
_SMALL_READ: Final = 1 << 16
_BETWEEN: Final = 1 << 10
"""Bytes read at once of what stands between chunks: the data behind it is copied once more."""
_WITHOUT_BODY: Final = {204, 304}
_NEXT_ADDRESS: Final = 0.25
"""Seconds until the next of a name's addresses is tried beside the first (RFC 8305, section 5)."""

T = TypeVar("T")
Event: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class Wire(httpx.AsyncBaseTransport):
    """Requests for an archive's bytes over sockets of its own, all others over `rest`."""

    def __init__(self, rest: httpx.AsyncBaseTransport, trust: ssl.SSLContext) -> None:
        self._rest = rest
        self._trust = trust
        self._idle: dict[tuple[bytes, bytes, int | None], list[Body]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the answer, its body unread."""
        if request.method != "GET" or not request.url.path.endswith(ARCHIVES):
            return await self._rest.handle_async_request(request)
        limits = request.extensions.get("timeout", {})
        place = (request.url.raw_scheme, request.url.raw_host, request.url.port)
        idle = self._idle.setdefault(place, [])
        while idle:
            body = idle.pop().again(limits.get("read"))
            # The server may have closed it meanwhile: then nothing came of the request, and it is asked anew.
            with contextlib.suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._ask(body, request, idle)
        body = Body(await _connect(request.url, limits.get("connect")), limits.get("read"))
        return await self._ask(body, request, idle)

    async def _ask(self, body: "Body", request: httpx.Request, idle: "list[Body]") -> httpx.Response:
        try:
            await settled(asyncio.to_thread(body.open, request, self._trust), body.drop)
        except BaseException:
            body.close()
            raise
        stream = _Stream(body, idle)
        return httpx.Response(body.status, headers=body.headers, stream=stream, extensions={BODY: body})

    async def aclose(self) -> None:
        """Close the other transport and what is kept; every body in use closes itself."""
        for body in (body for bodies in self._idle.values() for body in bodies):
            body.close()
        self._idle.clear()
        await self._rest.aclose()


class Body:
    """One answer on a connection of its own. All of it blocks: call it from one thread at a time."""

    def __init__(self, sock: socket.socket, patience: float | None) -> None:
        self._sock = sock
        self._patience = patience
        self._parser = h11.Connection(h11.CLIENT)
        self._spare = bytearray()
        self._left: int | None = None
        self._chunks: Chunks | None = None
        self._heard_at = time.monotonic()
        self._is_dropped = False
        self._lasts = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    def open(self, request: httpx.Request, trust: ssl.SSLContext) -> None:
        """Send the request, read the answer's head. Raises httpx's errors."""
        self._sock.settimeout(self._patience)
        if request.url.scheme == "https" and not isinstance(self._sock, ssl.SSLSocket):
            with _as_httpx(httpx.ConnectTimeout, httpx.ConnectError):
                name = request.url.raw_host.decode()
                self._sock = tls = trust.wrap_socket(self._sock, server_hostname=name, do_handshake_on_connect=False)
                tls.do_handshake()
        with _as_httpx(httpx.WriteTimeout, httpx.WriteError):
            self._sock.sendall(self._request(request))
        self._sock.settimeout(GLANCE)
        self._heard_at = asked_at = time.monotonic()
        while not isinstance(event := self._event(), h11.Response):
            if event is h11.NEED_DATA and not self._is_dropped:
                self._receive()
                if self._patience is not None and time.monotonic() - asked_at >= self._patience:
                    raise httpx.ReadTimeout("no answer came")  # a byte now and then is none
            elif not isinstance(event, h11.InformationalResponse):
                raise httpx.RemoteProtocolError("the answer is none of HTTP")
        self.status, self.headers = event.status_code, list(event.headers)
        self._spare += self._parser.trailing_data[0]
        told = dict(self.headers)
        # h11 has seen to it that these make sense (RFC 9112, 6.3).
        if self.status in _WITHOUT_BODY:
            self._left = 0
        elif b"transfer-encoding" in told:
            self._chunks = Chunks()
        elif b"content-length" in told:
            self._left = int(told[b"content-length"])
            self._lasts = event.http_version == b"1.1" and told.get(b"connection", b"").lower() != b"close"

    @property
    def is_reusable(self) -> bool:
        """Whether the answer was read to its end, and the connection is good for another one."""
        return self._lasts and self._left == 0 and not self._spare and not self._is_dropped

    def again(self, patience: float | None) -> Self:
        """Make ready for another request over the same connection."""
        self._patience, self._parser = patience, h11.Connection(h11.CLIENT)
        self._left, self._chunks, self._lasts = None, None, False
        return self

    def read_into(self, view: memoryview) -> int | None:
        """Fill the first bytes of `view` and return how many; 0 at the end, None where none came within `GLANCE`.

        Raises `httpx.ReadTimeout` after the request's read time-out without a byte, `httpx.ReadError` and
        `httpx.RemoteProtocolError` where the connection breaks before the end.
        """
        if self._chunks is not None and not self._has_chunk(self._chunks):
            return None
        left = self._left if self._chunks is None else self._chunks.left
        if left == 0:
            return 0
        view = view if left is None else view[:left]
        got = self._from_spare(view) if self._spare else self._from_socket(view)
        if not got:
            if got == 0 and left is not None:
                raise httpx.RemoteProtocolError(f"{left} bytes are missing")
            return got
        if self._chunks is not None:
            self._chunks.passed(got)
        elif self._left is not None:
            self._left -= got
        return got

    def drop(self) -> None:
        """End whatever waits for the other side, from any thread: nobody wants it any more."""
        self._is_dropped = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # TLS's own would wait for the thread that reads

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _request(self, request: httpx.Request) -> bytes:
        try:
            head = self._parser.send(
                h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            )
            rest = self._parser.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        return (head or b"") + (rest or b"")

    def _event(self) -> Event:
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def _receive(self) -> bool:
        """Give the parser what has come; return whether anything had."""
        piece = memoryview(bytearray(_SMALL_READ))
        got = self._from_socket(piece)
        if got is not None:
            self._parser.receive_data(bytes(piece[:got]))  # b"" is the end
        return got is not None

    def _has_chunk(self, chunks: Chunks) -> bool:
        """Return whether a chunk's data or the end is at hand, after what of the framing before it has come."""
        try:
            chunks.take(self._spare)
            if chunks.left or chunks.is_ended:
                return True
            piece = memoryview(bytearray(_BETWEEN))
            got = self._from_socket(piece)
            if got == 0:
                raise httpx.RemoteProtocolError("the last chunk is missing")
            self._spare += piece[: got or 0]
            chunks.take(self._spare)
        except FramingError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return bool(chunks.left) or chunks.is_ended

    def _from_spare(self, view: memoryview) -> int:
        got = min(len(view), len(self._spare))
        view[:got] = self._spare[:got]
        del self._spare[:got]
        return got

    def _from_socket(self, view: memoryview) -> int | None:
        if self._is_dropped:
            raise httpx.ReadError("given up")
        try:
            got = self._sock.recv_into(view)
        except TimeoutError as error:
            if self._patience is not None and time.monotonic() - self._heard_at >= self._patience:
                raise httpx.ReadTimeout("nothing more came") from error
            return None
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        self._heard_at = time.monotonic()
        return got


class _Stream(httpx.AsyncByteStream):
    """The same body for who reads it as httpx's own: the text of a refusal."""

    def __init__(self, body: Body, idle: list[Body]) -> None:
        self._body = body
        self._idle = idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = memoryview(bytearray(_SMALL_READ))
        while (got := await settled(asyncio.to_thread(self._body.read_into, piece), self._body.drop)) != 0:
            if got is not None:
                yield bytes(piece[:got])

    async def aclose(self) -> None:
        if self._body.is_reusable:
            self._idle.append(self._body)
        else:
            self._body.close()


async def settled(work: Awaitable[T], drop: Callable[[], None] | None = None) -> T:
    """Wait for what a thread does, also where the waiting is cancelled: it holds buffers, sockets and files.

    `drop` makes it end soon.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if drop is not None:
            drop()
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what counts
        raise


async def _connect(url: httpx.URL, seconds: float | None) -> socket.socket:
    """Return a connection to the server of `url`, the first of its addresses that answers."""
    port = url.port or (443 if url.scheme == "https" else 80)
    with _as_httpx(httpx.ConnectTimeout, httpx.ConnectError):
        async with asyncio.timeout(seconds):
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, url.raw_host.decode(), port, happy_eyeballs_delay=_NEXT_ADDRESS
            )
        sock: socket.socket = transport.get_extra_info("socket").dup()
    transport.abort()  # its own descriptor only: the connection lives on in ours
    return sock


@contextlib.contextmanager
def _as_httpx(late: type[httpx.TransportError], broken: type[httpx.TransportError]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
