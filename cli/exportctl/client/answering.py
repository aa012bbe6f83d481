"""The HTTP client of httpx, held within bounds: how large an answer may be, how slowly it may come, where it may lead.

- A server of plain http that sends on to the same path of the same host over TLS is taken at its word, from then on and
  for all requests, the socket's too. A POST stays a POST. No other redirect is followed, but that of an archive to
  where it is kept, which hears nothing of the sign-in.
- An answer that is no archive has at most `LARGEST` bytes, and brings `LEAST` bytes in every `PATIENCE` seconds.
- Whoever sends the head of an answer drop by drop is left after the request's own time-outs together.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx

LARGEST: Final = 128 * 2**20
"""The bytes of an answer that is read whole: a page of a log with events of some MB each is far below."""
LARGEST_PACKED: Final = 2**18
"""The same where it comes packed though nobody asked for that: what it amounts to is a thousand times more at most."""
PATIENCE: Final = 30.0
LEAST: Final = 1024
SIGN_IN_SECONDS: Final = 60.0
"""What signing in, or another command's renewal of the session, may add to a request."""
_MOST_LEADS: Final = 5
_ARCHIVE: Final = "exportctl.archive"
"""The request's extension that says so where its path does not."""
_TOLD_ELSEWHERE: Final = frozenset({"accept", "accept-encoding", "user-agent", "range", "if-range"})
_LEADING: Final = frozenset({301, 302, 307, 308})


class TooLongError(httpx.RemoteProtocolError):
    """The answer is longer than any that makes sense."""


class Client(httpx.AsyncClient):
    """`on_tls` hears once of a server that leads to TLS: from which address to which."""

    def __init__(self, *, open_trust: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self.on_tls: Callable[[str, str], None] | None = None
        self._open_trust = open_trust
        self._plain = self.base_url
        self._tls_port: int | None = None
        self._is_tls = False
        self.event_hooks = {"response": [_bound]}

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send the request, over TLS where the server wants that. Raises httpx's errors."""
        self._lead(request)
        response = await self._answer(request, options)
        if not self._learns_tls(response):
            return response
        await response.aclose()
        self._lead(request)
        return await self._answer(request, options)

    async def archive_behind(self, response: httpx.Response) -> httpx.Response:
        """Return the answer that a redirect of an archive leads to: object storage, with a signature in its address.

        Another host is told nothing of the sign-in, and nobody is led from TLS to plain http. A redirect that leads
        nowhere is returned as it is.
        """
        asked = response.request
        for _ in range(_MOST_LEADS):
            target = _target_of(response)
            if target is None:
                break
            await response.aclose()
            if target.scheme == "https":
                self._open_trust()
            told = [
                (name, value)
                for name, value in asked.headers.multi_items()
                if name.lower() in _TOLD_ELSEWHERE or (_origin(target) == _origin(asked.url) and name.lower() != "host")
            ]
            request = httpx.Request("GET", target, headers=told, extensions={**asked.extensions, _ARCHIVE: True})
            response = await self._answer(request, {"stream": True, "auth": None})
        return response

    async def _answer(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        limits = request.extensions.get("timeout") or {}
        connect, read = limits.get("connect"), limits.get("read")
        seconds = None if connect is None or read is None else connect + read
        if seconds is not None and self.auth is not None:
            seconds += SIGN_IN_SECONDS
        try:
            async with asyncio.timeout(seconds):
                # Of the body only the reading is not in here: it is as long as it is.
                response = await super().send(request, **options | {"stream": True})
        except TimeoutError as error:
            raise httpx.ReadTimeout("the answer did not come to its point") from error
        if not options.get("stream"):
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    def _learns_tls(self, response: httpx.Response) -> bool:
        """Return whether the same is to be asked over TLS, on the same host."""
        asked = response.request.url
        if response.status_code not in _LEADING or asked.scheme != "http" or not response.has_redirect_location:
            return False
        try:
            target = asked.join(response.headers["Location"])
        except httpx.InvalidURL:
            return False
        if (target.scheme, target.host, target.raw_path) != ("https", asked.host, asked.raw_path) or target.userinfo:
            return False
        if not self._is_tls:
            self._open_trust()
            self._is_tls, self._tls_port = True, target.port
            self.base_url = self._plain.copy_with(scheme="https", port=target.port)
            if self.on_tls is not None:
                self.on_tls(str(self._plain).rstrip("/"), str(self.base_url).rstrip("/"))
        return True

    def _lead(self, request: httpx.Request) -> None:
        """Turn a request to the server's plain address into one to its other."""
        url = request.url
        if self._is_tls and (url.scheme, url.host, url.port) == ("http", self._plain.host, self._plain.port):
            request.url = url.copy_with(scheme="https", port=self._tls_port)
            request.headers["Host"] = request.url.netloc.decode("ascii")


def _target_of(response: httpx.Response) -> httpx.URL | None:
    """Return where a redirect leads, None where there is none to be followed."""
    asked = response.request.url
    if not response.has_redirect_location:
        return None
    try:
        target = asked.join(response.headers["Location"])
    except httpx.InvalidURL:
        return None
    is_place = target.scheme in {"http", "https"} and target.host and not target.userinfo
    return target if is_place and (asked.scheme, target.scheme) != ("https", "http") else None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _bound(response: httpx.Response) -> None:
    """Hold the answer's body within bounds; an archive has its own (`intake`), and a socket none."""
    is_archive = response.is_success and (
        response.request.url.path.endswith("/download") or _ARCHIVE in response.request.extensions
    )
    if not is_archive and response.status_code != httpx.codes.SWITCHING_PROTOCOLS:
        largest = LARGEST_PACKED if "Content-Encoding" in response.headers else LARGEST
        response.stream = _Bounded(response.stream, largest)


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, largest: int) -> None:
        self._stream = stream
        self._largest = largest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not isinstance(self._stream, httpx.AsyncByteStream):
            raise TypeError("an asynchronous client got a synchronous stream")
        size, before, since = 0, 0, time.monotonic()
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._largest:
                raise TooLongError(f"more than {self._largest} bytes")
            now = time.monotonic()
            if size - before >= LEAST:
                before, since = size, now
            elif now - since > PATIENCE:
                raise httpx.ReadTimeout("next to nothing came")
            yield chunk

    async def aclose(self) -> None:
        if isinstance(self._stream, httpx.AsyncByteStream):
            await self._stream.aclose()
