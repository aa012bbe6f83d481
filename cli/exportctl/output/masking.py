"""Frames of a socket as they may be shown: without what signs in."""

import re
from typing import Final

_HIDDEN: Final = "***"
_KEYS: Final = re.compile(
    r'("[^"]*(?:token|password|secret|cookie|authorization|sid)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^,}\]\s"]+)',
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(bearer\s+)[^\s\"']+", re.IGNORECASE)


def masked(frame: str | bytes, secrets: tuple[str, ...] = ()) -> str:
    """Return a frame in words; values of keys that name a secret, and the `secrets` themselves, are hidden."""
    if isinstance(frame, bytes):
        return f"{len(frame)} bytes"
    text = _BEARER.sub(rf"\1{_HIDDEN}", _KEYS.sub(rf'\1"{_HIDDEN}"', frame))
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return text
