"""How the server is asked: repeated while waiting may help, renewed where the sign-in ran out, judged once.

What is safe to repeat is repeated while the server is unreachable or too busy, with jittered exponential back-off or as
its `Retry-After` says, within one budget; what waiting does not cure is raised at once. Raises `model.errors` only.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx

from exportctl.client import failures
from exportctl.client.answering import Client
from exportctl.client.http import Server
from exportctl.model.errors import Busy, ExportctlError, NotAllowed, Unreachable
from exportctl.protocol import jsontext
from exportctl.protocol.errors import ProtocolError

if TYPE_CHECKING:
    import stamina.instrumentation

PROTOCOL_2: Final = 2
ATTEMPTS: Final = 5
RESTARTS: Final = 9
"""Attempts where nothing answers at all, for what must not be lost: half a minute, in which a server starts again."""
BUDGET_SECONDS: Final = 60.0
"""Of all attempts at one request together; a server that asks for a longer wait is told of instead."""
AGAIN_SECONDS: Final = 15.0
"""How long an answer may take that is asked for again without it (`WIRE.md`, 13)."""
SILENCES: Final = 2
"""Attempts without any answer: half a minute of silence is enough to know a server that says nothing."""
_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_WORDS_SECONDS: Final = 10.0
_WORDS_BYTES: Final = 1 << 16


@dataclass(slots=True, kw_only=True)
class Asker:
    """The requests to one server. `protocol` is None until the first JSON answer fixes it.

    `on_frame` hears of each frame of a socket, `<` what came and `>` what was sent.
    `on_retry` hears of each attempt that failed and is made again: why, its number, the seconds until the next. `renew`
    is asked once when a sign-in ran out, and says whether it is worth another attempt.
    """

    http: Client
    server: Server
    on_retry: Callable[[ExportctlError, int, float], None] | None = None
    on_frame: Callable[[str, str | bytes], None] | None = None
    renew: Callable[[], Awaitable[bool]] | None = None
    protocol: int | None = field(default=None, init=False)
    said_at: datetime | None = field(default=None, init=False)
    """The server's own clock at its newest answer."""
    renewals: int = field(default=0, init=False)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def url(self) -> str:
        """Where the server is: over TLS where it led there."""
        return str(self.http.base_url).rstrip("/")

    async def renewed(self, seen: int) -> bool:
        """Return whether the sign-in is a newer one than that of the renewal number `seen`; renews it where it can.

        Many requests may fail at once over one sign-in that ran out: it is renewed once for all of them.
        """
        async with self._renewing:
            if self.renewals != seen:
                return True
            if self.renew is None or not await self.renew():
                return False
            self.renewals += 1
            return True

    async def ask(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ASYNC109 - httpx's own kind: connect, read and write apart
        attempts: int = ATTEMPTS,
        waits_for_room: bool = True,
    ) -> object:
        """Return the answer's JSON, an object or a list. `what` names the request in words.

        `attempts` beyond `ATTEMPTS` are for a server that does not answer at all. `waits_for_room`: whether 429 is
        worth a wait; whoever starts an export decides that for itself.
        """

        def build() -> httpx.Request:
            return self.http.build_request(
                method,
                path,
                params=params,
                content=content,
                headers=headers,
                timeout=patience if timeout is None else timeout,
            )

        patience = self.http.timeout
        if attempts == 1:
            return await self._ask(build, what)
        patience = httpx.Timeout(AGAIN_SECONDS, connect=patience.connect, pool=None)
        silences = answers = 0
        import stamina.instrumentation  # noqa: PLC0415 - 25 ms that only a command with a server needs

        def wait_for(error: Exception) -> bool | float:
            nonlocal silences, answers
            if isinstance(error, ExportctlError):
                silences += error.code == failures.MUTE
                answers += error.answered is not None
            is_vain = silences >= SILENCES or answers >= ATTEMPTS
            return not is_vain and _wait_for(error, waits_for_room=waits_for_room)

        stamina.instrumentation.set_on_retry_hooks([self._tell_retry])  # its own would write to standard error
        async for attempt in stamina.retry_context(
            on=wait_for, attempts=attempts, timeout=BUDGET_SECONDS, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
        ):
            with attempt:
                return await self._ask(build, what)
        raise AssertionError  # the last attempt raised

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], *, accepts: frozenset[int], what: str
    ) -> AsyncIterator[httpx.Response]:
        """Open an answer whose body is no JSON; any status but those it `accepts` is raised.

        A GET is followed to where an archive is kept.
        """
        try:
            for is_last in (False, True):
                seen = self.renewals
                request = self.http.build_request(method, path, headers=headers)
                response = await self.http.send(request, stream=True)
                if method == "GET":
                    response = await self.http.archive_behind(response)
                try:
                    if response.status_code in accepts:
                        yield response
                        return
                    if response.status_code == _UNAUTHORIZED and not is_last and await self.renewed(seen):
                        continue
                    raise failures.from_response(response, await _words_of(response), what=what)
                finally:
                    await response.aclose()
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.url) from error

    def _tell_retry(self, details: "stamina.instrumentation.RetryDetails") -> None:
        if self.on_retry is not None and isinstance(details.caused_by, ExportctlError):
            self.on_retry(details.caused_by, details.retry_num, details.wait_for)

    async def _ask(self, build: Callable[[], httpx.Request], what: str) -> object:
        """Ask once, and once more where the sign-in ran out and was renewed."""
        seen = self.renewals
        try:
            return await self._ask_once(build(), what)
        except NotAllowed as error:
            if error.answered != _UNAUTHORIZED or not await self.renewed(seen):
                raise
        return await self._ask_once(build(), what)

    async def _ask_once(self, request: httpx.Request, what: str) -> object:
        try:
            response = await self.http.send(request)
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.url) from error
        body = _json_or_none(response)
        self.said_at = moment_of(response.headers.get("Date")) or self.said_at
        if isinstance(body, dict | list) and self.protocol is None:
            self.protocol = PROTOCOL_2 if response.headers.get("Export-Protocol") == "2" else 1
        if not response.is_success:
            raise failures.from_response(response, body, what=what)
        if not isinstance(body, dict | list):
            raise failures.not_json(self.url, response.headers.get("Content-Type", ""))
        return body


def _wait_for(error: Exception, *, waits_for_room: bool) -> bool | float:
    """Return the seconds that the server asks to wait, or whether waiting may help at all."""
    if not isinstance(error, ExportctlError) or error.code == failures.NOT_JSON:
        return False
    if isinstance(error, Busy) and not (waits_for_room and error.retry_after is not None):
        return False
    if not isinstance(error, Busy) and not failures.is_passing(error):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= BUDGET_SECONDS else False


def may_pass(error: ExportctlError) -> bool:
    """Return whether a refusal or a broken connection may be cured by waiting, within reason."""
    if error.retry_after is not None and error.retry_after > BUDGET_SECONDS:
        return False
    return failures.is_passing(error) or error.answered == _TOO_MANY


def is_lost(error: ExportctlError) -> bool:
    """Return whether a request that ended in `error` may have been done all the same: its answer is what is missing."""
    is_answer = error.answered is not None and error.answered not in {200, 502, 503, 504}
    return isinstance(error, Unreachable) and error.code != "TLS" and not is_answer


def moment_of(text: str | None) -> datetime | None:
    """Return the time of an HTTP date, UTC."""
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


async def _words_of(response: httpx.Response) -> object:
    """Return the JSON of a refusal whose body is unread, None where there is none that ends in time."""
    words = b""
    with contextlib.suppress(TimeoutError, httpx.HTTPError, ProtocolError):
        async with asyncio.timeout(_WORDS_SECONDS):
            async for piece in response.aiter_bytes():
                words += piece
                if len(words) > _WORDS_BYTES:
                    return None
        return jsontext.read_body(words)
    return None


def _json_or_none(response: httpx.Response) -> object:
    try:
        return jsontext.read_body(response.content)
    except ProtocolError:
        return None
