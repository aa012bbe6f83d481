"""Who a command is to a server that signs people in: the session's cookies, on every request and handshake.

`SignIn` is the HTTP client's `auth`. It puts the session's cookies on a request when it is sent, not when it is made,
and before that sees that they are alive: an access token that has ended is renewed, and where there is nothing to
renew the environment's email and password sign in. A 401 is answered the same way, and the request sent again.

A refresh token is good once (`WIRE.md`), so a renewal happens once: all requests of a command wait for the same one,
and commands that share a jar take its lock and look whether another was faster. A renewal that has begun is brought to
its end, whoever gives up waiting for it: its answer is all that keeps the user signed in.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Final, TypeAlias

import httpx

from exportctl.client import authority, failures
from exportctl.client.authority import ACCESS, REFRESH, Credentials, NotNowError
from exportctl.client.http import is_loopback
from exportctl.client.jar import Jar, Kept, LockHeldError
from exportctl.model.errors import CannotWrite, NotAllowed

SENT_AT_MOST: Final = 3
"""As it is; with a session that another command has brought; with one renewed for it."""
_CLOSE_SECONDS: Final = 5.0

Mark: TypeAlias = tuple[str | None, str | None]
"""What tells one session from the next: its two tokens. The access token alone stays the same within a second."""


@dataclass(slots=True, kw_only=True, eq=False)
class SignIn(httpx.Auth):
    """The session of one command with one server. Install it with `use`; call `close` before the client is closed.

    `jar` None: nothing is read or kept. `hint` is the command that signs in. `tell` takes warnings: a code, the words.
    """

    http: httpx.AsyncClient
    url: str
    jar: Jar | None
    credentials: Credentials | None
    hint: str
    tell: Callable[[str, str], None]
    email: str | None = field(init=False, default=None)
    _in_keyring: bool = field(init=False, default=False)
    _is_kept: bool = field(init=False, default=False)
    _is_read: bool = field(init=False, default=False)
    _renewal: "asyncio.Task[None] | None" = field(init=False, default=None)
    _ended: tuple[Mark, NotAllowed] | None = field(init=False, default=None)
    _offered: Mark | None = field(init=False, default=None)

    def use(self) -> None:
        """Make every request of the client go through here."""
        self.http.cookies = cookie_jar(self.url)
        self.http.auth = self

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Carry the session; renew it before, where it has ended, and after a 401."""
        if not self._is_read or self._has_ended():
            await self._renewed(self._mark())
        for _ in range(SENT_AT_MOST - 1):
            carried = self._carry(request)
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            await self._renewed(carried)
        self._carry(request)
        yield request

    async def renew(self) -> bool:
        """Bring another session than the one that the last handshake carried, which the server refused.

        Raises `NotAllowed` with the words to sign in where there is none to be had, `Unreachable` where the server is
        away.
        """
        try:
            await self._renewed(self._offered or self._mark())
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.url) from error
        return True

    async def close(self) -> None:
        """Let a renewal that is under way come to its end, for a few seconds; a password can be given again."""
        renewal = self._renewal
        if renewal is not None:
            is_rotating = self._mark()[1] is not None
            await asyncio.wait([renewal], timeout=_CLOSE_SECONDS if is_rotating else 0)
            renewal.cancel()
            await asyncio.wait([renewal])

    def _carry(self, request: httpx.Request) -> Mark:
        request.headers.pop("Cookie", None)
        self.http.cookies.set_cookie_header(request)
        mark = self._mark()
        if request.url.path.endswith("/socket.io/"):
            self._offered = mark
        return mark

    def _cookies(self) -> Iterable[Cookie]:
        return [cookie for cookie in self.http.cookies.jar if not cookie.is_expired()]

    def _mark(self) -> Mark:
        values = {cookie.name: cookie.value for cookie in self._cookies()}
        return values.get(ACCESS), values.get(REFRESH)

    def _has_ended(self) -> bool:
        access, refresh = self._mark()
        return access is None and (refresh is not None or self.credentials is not None)

    async def _renewed(self, refused: Mark) -> None:
        """Wait until the session is another one than `refused`. Raises `NotAllowed`, `httpx.HTTPError`."""
        if self._is_read and self._mark() != refused and not self._has_ended():
            return
        if self._ended is not None and self._ended[0] == refused:
            raise self._ended[1]
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(refused))
            self._renewal.add_done_callback(self._renewal_over)
        await asyncio.shield(self._renewal)

    def _renewal_over(self, task: "asyncio.Task[None]") -> None:
        self._renewal = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, NotAllowed):
            self._ended = self._mark(), error

    async def _renew(self, refused: Mark) -> None:
        if not self._is_read:
            await self._read()
            if self._mark()[0] is not None or not self._has_ended():
                return  # alive, or there is none: the server says whether that will do
            refused = self._mark()
        if not self._is_kept or self.jar is None:
            await self._ask(refused)
            return
        try:
            async with self.jar.locked():
                await self._renew_kept(self.jar, refused)
        except LockHeldError as error:
            raise NotNowError("another command renews the session and does not end") from error
        except CannotWrite as error:
            raise NotAllowed(
                f"the session on {self.url} has ended, and a new one could not be kept: {error.message}",
                hint=error.hint,
                code="SESSION_ENDED",
            ) from error

    async def _renew_kept(self, jar: Jar, refused: Mark) -> None:
        kept = await jar.read()
        if kept is None or kept.email != self.email:
            self._is_kept = False  # signed out, or signed in as somebody else meanwhile: not to be overwritten
        else:
            self._adopt(kept)
            if self._mark() != refused and not self._has_ended():
                return
        await self._ask(refused)
        if self._is_kept:
            try:
                await jar.write(kept_session(self.http, self.email, in_keyring=self._in_keyring))
            except (CannotWrite, NotAllowed) as error:
                self.tell("session-not-kept", f"{error.message}; other commands will have to sign in again")

    async def _ask(self, refused: Mark) -> None:
        """Ask the server for a session: by the refresh token, else by email and password."""
        if self._mark()[1] is not None and await authority.refresh(self.http):
            return
        if self.credentials is not None:
            self.email = await authority.sign_in(self.http, self.url, self.credentials, remember=self._is_kept)
            return
        if refused == (None, None) and not self._is_kept:
            raise NotAllowed(f"not signed in on {self.url}", hint=self.hint, code="NOT_SIGNED_IN")
        raise NotAllowed(f"the session on {self.url} has ended", hint=self.hint, code="SESSION_ENDED")

    async def _read(self) -> None:
        """Take the kept session, if there is one of the one who signs in here."""
        self._is_read = True
        try:
            kept = None if self.jar is None else await self.jar.read()
        except NotAllowed as error:
            if self.credentials is None:
                raise NotAllowed(error.message, hint=error.hint or self.hint, code=error.code) from error
            self.tell("session-not-read", error.message)
            return
        if kept is not None and (self.credentials is None or _is_same(kept.email, self.credentials.email)):
            self._is_kept = True
            self._in_keyring = kept.in_keyring
            self._adopt(kept)

    def _adopt(self, kept: Kept) -> None:
        self.email = kept.email
        adopt(self.http, kept)


def adopt(http: httpx.AsyncClient, kept: Kept) -> None:
    """Put a kept session in place of the client's."""
    held = [(cookie.domain, cookie.path, cookie.name) for cookie in http.cookies.jar]
    for domain, path, name in held:
        if name in {ACCESS, REFRESH}:
            http.cookies.jar.clear(domain, path, name)
    for cookie in kept.cookies:
        http.cookies.jar.set_cookie(cookie)


def kept_session(http: httpx.AsyncClient, email: str | None, *, in_keyring: bool) -> Kept:
    """Return the client's session as it is kept: the tokens, and what else the server wants back in days to come."""
    alive = [cookie for cookie in http.cookies.jar if not cookie.is_expired()]
    cookies = tuple(cookie for cookie in alive if not cookie.discard or cookie.name in {ACCESS, REFRESH})
    return Kept(email=email, cookies=cookies, in_keyring=in_keyring)


def cookie_jar(url: str) -> CookieJar:
    """Return an empty jar for one server. `Secure` cookies go over TLS, and over loopback, which no one overhears.

    That is what browsers and curl do with a server behind `ssh -L`.
    """
    secure = ("http", "https", "ws", "wss") if is_loopback(url) else ("https", "wss")
    return CookieJar(DefaultCookiePolicy(secure_protocols=secure))


def _is_same(one: str | None, other: str) -> bool:
    return (one or "").casefold() == other.casefold()
