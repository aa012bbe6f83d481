"""Reading fields of untrusted objects: the right type, or nothing.

A server may leave out a key, send null or another type; none of that may end a command that follows a job. A wrong
value reads as None, so that what a dialect cannot do without (`jobId`) is missed in one place.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from exportctl.protocol.events import MOST

Object = Mapping[str, object]

_WHOLE: Final = 100.0
is_moment: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
).fullmatch
"""Whether a text is a time in RFC 3339, UTC, with milliseconds."""


def text(source: Object, key: str) -> str | None:
    """Return the string at `key`."""
    value = source.get(key)
    return value if isinstance(value, str) else None


def integer(source: Object, key: str) -> int | None:
    """Return the whole, not negative number at `key`."""
    value = source.get(key)
    return value if type(value) is int and 0 <= value <= MOST else None  # a bool is no number here


def number(source: Object, key: str) -> float | None:
    """Return the finite number at `key`."""
    value = source.get(key)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return float(value) if type(value) is int and -MOST <= value <= MOST else None  # a bool is no number here


def percent(source: Object, key: str) -> float | None:
    """Return the number at `key`, held between 0 and 100."""
    value = number(source, key)
    if value is None or 0.0 <= value <= _WHOLE:
        return value
    return 0.0 if value < 0.0 else _WHOLE


def moment(source: Object, key: str) -> str | None:
    """Return the time at `key` in RFC 3339, UTC, with milliseconds; another zone or precision is turned into that."""
    value = text(source, key)
    if value is None or is_moment(value):
        return value
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            return None
        return parsed.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    except (ValueError, OverflowError):
        return None


def flag(source: Object, key: str) -> bool | None:
    """Return the boolean at `key`."""
    value = source.get(key)
    return value if isinstance(value, bool) else None


def mapping(source: Object, key: str) -> Object | None:
    """Return the object at `key`."""
    value = source.get(key)
    return value if isinstance(value, dict) else None


def texts(source: Object, key: str) -> tuple[str, ...]:
    """Return the strings of the list at `key`; what is no string is left out."""
    value = source.get(key)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
