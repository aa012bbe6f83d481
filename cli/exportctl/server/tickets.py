"""Download tokens: a link that opens one job's archive for ten minutes, without a cookie and beyond its life.

A token is two base64url parts joined by a dot, as protocol 1's: the claim, and its HMAC-SHA-256 under a key that lies
in the state folder for its owner alone. So nothing is kept of a token, and a restart ends none.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

TICKET_SECONDS: Final = 600
_KEY_BYTES: Final = 32
_LONGEST: Final = 1000


class TicketError(Exception):
    """The token opens nothing; the message says why."""


class AnotherTicketError(TicketError):
    """It is a good token, of another job."""


class Tickets:
    """Makes and reads download tokens. `clock` gives Unix seconds."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def make(self, job_id: str) -> tuple[str, float]:
        """Return a token for a job's archive, and when it is over (Unix seconds)."""
        expires = self._clock() + TICKET_SECONDS
        claim = _spelled(orjson.dumps({"job": job_id, "expires": expires}))
        return f"{claim}.{self._signature(claim)}", expires

    def check(self, token: str, job_id: str) -> None:
        """Return if the token opens the job's archive now; raises TicketError."""
        claim, dot, signature = token[:_LONGEST].partition(".")
        if not (dot and token.isascii()):
            raise TicketError("Invalid download token: malformed token")
        if not hmac.compare_digest(signature, self._signature(claim)):
            raise TicketError("Invalid download token: bad signature")
        # Signed, so it is what was made above.
        told = orjson.loads(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)))
        if told["expires"] <= self._clock():
            raise TicketError("Invalid download token: token expired")
        if told["job"] != job_id:
            raise AnotherTicketError("Token does not match resource")

    def _signature(self, claim: str) -> str:
        return _spelled(hmac.digest(self._key, claim.encode(), hashlib.sha256))


def key_in(path: Path) -> bytes:
    """Return the key that is kept in a file, making both where there is none, or what is there is no key."""
    try:
        key = binascii.unhexlify(path.read_bytes())
    except (FileNotFoundError, ValueError):
        key = b""
    if len(key) == _KEY_BYTES:
        return key
    key = secrets.token_bytes(_KEY_BYTES)
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(binascii.hexlify(key))
    aside.replace(path)
    return key


def _spelled(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
