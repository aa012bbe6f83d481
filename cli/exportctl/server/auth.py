"""Who is it? By token (`Authorization: Bearer`, or `auth: {token}` on the handshake) or by the access cookie.

A browser sends the cookie along with whatever any page asks for, so a request that changes something is taken by
cookie only from this server's own pages (`is_own_page`); a token is sent by nobody but those who hold it.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from exportctl.server.people.people import People
from exportctl.server.people.sessions import SessionOverError

TOKEN_NEEDED = "Authentication token required"  # noqa: S105 - a message, not a secret
TOKEN_WRONG = "Authentication failed"  # noqa: S105 - a message, not a secret
ACCESS_COOKIE = "access_token"


class SignInError(Exception):
    """Nobody is signed in: the message says whether a token was missing, wrong or over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """By what right somebody is in: it ends with `token` or `session`, with neither where it is the server's own."""

    user: str
    token: str | None = None
    session: str | None = None


class Guard:
    """Tell users by the tokens named at the start, and by what the people were given."""

    def __init__(self, tokens: Mapping[str, str], people: People | None) -> None:
        self._tokens = [(token.encode(), user) for token, user in tokens.items()]
        self._named = frozenset(tokens.values())
        self._people = people

    def user_of(self, token: str | None, access: str | None) -> str:
        """Return the user of a token, else of an access cookie; raises SignInError."""
        if token:
            return self._by_token(token)
        if not access or self._people is None:
            raise SignInError(TOKEN_NEEDED)
        try:
            return self._people.sessions.user_of(access)
        except SessionOverError as error:
            raise SignInError(str(error)) from error

    def pass_of(self, token: str | None, access: str | None) -> Pass:
        """Return by what right a token's user, else a cookie's, is let in; raises SignInError."""
        user = self.user_of(token, access)
        if not token:
            return Pass(user=user, session=self._people.sessions.of_access(access or "") if self._people else None)
        return Pass(user=user, token=None if user in self._named else token)

    def holds(self, right: Pass) -> bool:
        """Say whether somebody who was let in still would be."""
        if self._people is None:
            return True
        if right.token is not None:
            return self._people.tokens.user_of(right.token) == right.user
        return right.session is None or self._people.sessions.is_open(right.session)

    def knows(self, user: str) -> bool:
        """Say whether somebody is still a user here."""
        return self._people is None or user in self._named or self._people.users.find(user) is not None

    def changes(self) -> object:
        """Return what is another whenever a right may have ended."""
        return self._people and self._people.changes()

    def _by_token(self, token: str) -> str:
        """Take the same time for every token that was named at the start."""
        given, found = token.encode("utf-8", "replace"), None
        for known, user in self._tokens:
            if hmac.compare_digest(given, known):
                found = user
        if found is None and self._people is not None:
            found = self._people.tokens.user_of(token)
        if found is None:
            raise SignInError(TOKEN_WRONG)
        return found


def bearer(header: str | None) -> str | None:
    """Return the token of an `Authorization` header (RFC 6750, 2.1), None if there is none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def is_form(headers: Mapping[str, str]) -> bool:
    """Say whether a request that names no origin may be a page's form all the same, sent by a browser too old to say.

    A form's text, or parts, can be spelled so that they are JSON; its fields cannot, but are nothing where it has none.
    """
    if "origin" in headers or "sec-fetch-site" in headers:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_empty = headers.get("content-length") == "0"
    return kind in {"text/plain", "multipart/form-data"} or (kind == "application/x-www-form-urlencoded" and is_empty)


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Say whether a request with these headers comes from this server's pages, or from no browser at all.

    Browsers say it in `Sec-Fetch-Site`, and in `Origin` on all that is no GET; programs say neither.
    """
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(place) and place == headers.get("host")
