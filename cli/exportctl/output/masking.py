"""What signs in, hidden wherever words of others are shown: frames of a socket, errors that repeat what was sent.

A secret of some length is hidden wherever it stands. A short one is hidden where it stands by itself: a token of one
letter would otherwise take every such letter out of a text, and whoever reads `a` within a word has learnt nothing.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

_HIDDEN: Final = "***"
_LONG: Final = 6
"""Letters from which on a secret is no part of a word by chance."""
_KEYS: Final = re.compile(
    r'("[^"]*(?:token|password|secret|cookie|authorization|sid)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^,}\]\s"]+)',
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(bearer\s+)[^\s\"']+", re.IGNORECASE)


def masked(frame: str | bytes, secrets: Iterable[str] = ()) -> str:
    """Return a frame in words; values of keys that name a secret, and the `secrets` themselves, are hidden."""
    if isinstance(frame, bytes):
        return f"{len(frame)} bytes"
    return hidden(_BEARER.sub(rf"\1{_HIDDEN}", _KEYS.sub(rf'\1"{_HIDDEN}"', frame)), secrets)


def hidden(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without the `secrets`."""
    pattern = _pattern(tuple(sorted(filter(None, secrets), key=len, reverse=True)))
    return text if pattern is None else pattern.sub(_HIDDEN, text)


@lru_cache(maxsize=8)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what finds the secrets, as they are, within JSON and within an address."""
    found: dict[str, None] = {}
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            exact = re.escape(form)
            found[exact if len(secret) >= _LONG else rf"(?<![\w-]){exact}(?![\w-])"] = None
    return re.compile("|".join(found)) if found else None
