"""Reading fields of untrusted objects: the right type, or nothing.

A server may leave out a key, send null or another type; none of that may end a command that follows a job. A wrong
value reads as None, so that what a dialect cannot do without (`jobId`) is missed in one place.
"""

import math
from collections.abc import Mapping

Object = Mapping[str, object]


def text(source: Object, key: str) -> str | None:
    """Return the string at `key`."""
    value = source.get(key)
    return value if isinstance(value, str) else None


def integer(source: Object, key: str) -> int | None:
    """Return the whole, not negative number at `key`."""
    value = source.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def number(source: Object, key: str) -> float | None:
    """Return the finite number at `key`."""
    value = source.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def percent(source: Object, key: str) -> float | None:
    """Return the number at `key`, held between 0 and 100."""
    value = number(source, key)
    return None if value is None else min(100.0, max(0.0, value))


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
