"""Signing in with a token: `Authorization: Bearer` on HTTP, `auth: {token}` or the same header on the handshake."""

import hmac
from collections.abc import Mapping

TOKEN_NEEDED = "Authentication token required"  # noqa: S105 - a message, not a secret
TOKEN_WRONG = "Authentication failed"  # noqa: S105 - a message, not a secret


class SignInError(Exception):
    """Nobody is signed in: the message says whether a token was missing or wrong."""


class Tokens:
    """Who holds which token."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = [(token.encode(), user) for token, user in tokens.items()]

    def user_of(self, token: str | None) -> str:
        """Return the token's user; raises SignInError. Takes the same time for every token."""
        if not token:
            raise SignInError(TOKEN_NEEDED)
        given, found = token.encode("utf-8", "replace"), None
        for known, user in self._tokens:
            if hmac.compare_digest(given, known):
                found = user
        if found is None:
            raise SignInError(TOKEN_WRONG)
        return found


def bearer(header: str | None) -> str | None:
    """Return the token of an `Authorization` header (RFC 6750, 2.1), None if there is none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
