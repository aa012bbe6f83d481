"""What an answer with an archive's bytes says of them (RFC 9110, sections 8 and 14; RFC 9530)."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

import httpx

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.ASCII)
_SHA256: Final = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]{44}):", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The range that an answer holds: `start` to `stop` (exclusive) of `total` bytes; None for what is not said."""

    start: int | None
    stop: int | None
    total: int | None


def content_range(response: httpx.Response) -> Part | None:
    """Return what `Content-Range` says, None where that is nothing or nonsense."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        return None
    first, last, total = found.groups()
    return Part(
        start=None if first is None else int(first),
        stop=None if last is None else int(last) + 1,
        total=None if total == "*" else int(total),
    )


def content_length(response: httpx.Response) -> int | None:
    """Return the length of the body in bytes."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def sha256_of(response: httpx.Response) -> str | None:
    """Return the SHA-256 of the whole archive in hexadecimal, from `Repr-Digest` (RFC 9530, section 3)."""
    found = _SHA256.search(response.headers.get("Repr-Digest", ""))
    if found is None:
        return None
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None  # noqa: PLR2004 - the length of SHA-256


def is_encoded(response: httpx.Response) -> bool:
    """Return whether the bytes are others than the archive's: packed on the way, which was asked not to be."""
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}


def is_weak(etag: str) -> bool:
    """Return whether a validator may stay the same where bytes differ (RFC 9110, section 8.8.1)."""
    return etag.startswith("W/")
