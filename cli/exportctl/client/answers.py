"""What an answer with an archive's bytes says of them (RFC 9110, sections 8 and 14; RFC 9530)."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

import httpx

from exportctl.client import failures
from exportctl.model.errors import Damaged

ENCODED: Final = "ENCODED"
"""The code of a refusal that says nothing against the bytes that came before."""
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.ASCII)
_SHA256: Final = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]{44}):", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The range that an answer holds: `start` to `stop` (exclusive) of `total` bytes; None for what is not said."""

    start: int | None
    stop: int | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How many bytes of the rest an answer holds, and the size of the whole, None where it is not said."""

    bytes: int
    total: int | None


class Changed(Exception):
    """The server has another archive than the one begun: begin anew."""


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


def is_packed(response: httpx.Response) -> bool:
    """Return whether the body is the archive packed once more, in a way that can be unpacked as it comes."""
    return _encoding(response.headers) == "gzip"


def is_plain(headers: httpx.Headers) -> bool:
    """Return whether the body is what was asked for, packed in no way."""
    return _encoding(headers) in {"", "identity"}


def length_in(headers: httpx.Headers) -> int | None:
    """Return the length of what is sent, in bytes; None where that is not said, or is nonsense."""
    length = headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def content_length(response: httpx.Response) -> int | None:
    """Return the length of the archive, or of the part of it, in bytes; None where what comes is packed once more."""
    return None if is_packed(response) else length_in(response.headers)


def sha256_of(response: httpx.Response) -> str | None:
    """Return the SHA-256 of the whole archive in hexadecimal, from `Repr-Digest` (RFC 9530, section 3).

    It is that of what is sent: None where that is packed once more.
    """
    return None if is_packed(response) else sha256_in(response.headers)


def sha256_in(headers: httpx.Headers) -> str | None:
    """As `sha256_of`, from an answer's headers alone."""
    found = _SHA256.search(headers.get("Repr-Digest", ""))
    if found is None:
        return None
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None  # noqa: PLR2004 - the length of SHA-256


def check_kind(response: httpx.Response, url: str, *, may_be_packed: bool = False) -> None:
    """Raise where the bytes are others than the archive's.

    `Damaged` where they were packed on the way, which was asked not to be, in a way that cannot be unpacked here;
    `Unreachable` for a page for people: the sign-in of a proxy, a portal's greeting.
    """
    if not is_plain(response.headers) and not (may_be_packed and is_packed(response)):
        raise Damaged(
            "the archive comes packed once more, which was not asked for",
            hint="a proxy in front of the server does that: exportctl doctor",
            code=ENCODED,
        )
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.is_success and kind in {"text/html", "application/xhtml+xml"}:
        raise failures.no_archive(url)


def _encoding(headers: httpx.Headers) -> str:
    said: str = headers.get("Content-Encoding", "identity")
    return said.strip().lower()


def rest(response: httpx.Response, start: int, *, etag: str | None, size: int | None) -> Rest:
    """Return the part that an answer 206 holds, which must begin at `start` of an archive of this tag and size.

    Raises `Changed` for any other.
    """
    part, length = content_range(response), content_length(response)
    if part is None or part.start != start or part.stop is None:
        raise Changed("the server sent another range than asked for")
    if length is not None and length != part.stop - start:
        raise Changed("the server sent another range than it says")
    if size is not None and part.total not in {None, size}:
        raise Changed("its size changed on the server")
    if response.headers.get("ETag", etag) != etag:
        raise Changed("it changed on the server")
    return Rest(bytes=part.stop - start, total=part.total)


def is_weak(etag: str) -> bool:
    """Return whether a validator may stay the same where bytes differ (RFC 9110, section 8.8.1)."""
    return etag.startswith("W/")
