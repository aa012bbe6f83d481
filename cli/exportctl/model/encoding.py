"""A numbered line as one line of NDJSON, and the spelling of its keys.

Keys are the fields' names in camel case, in a fixed order: the header first. A line's own keys are always there, null
where unknown; only `serverSeq` and `jobCorrelationId` are left out where no server gave them.

Every line can be written. What a strict reader of JSON refuses is told as near as JSON comes to it: a half of a
surrogate pair (a file name's undecodable byte, a server's cut text) as U+FFFD, a whole number beyond 64 bits as a
double, as any reader in JavaScript has it, a number that is none, and what is nested beyond all sense, as null.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Final

import orjson

from exportctl.model.lines import SCHEMA_VERSION, Numbered

_HEADER = ("job_id", "project_id", "source", "timestamp")
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_MAX_DEPTH: Final = 128
"""Levels of nesting that are written; orjson writes 254."""
_WORD: Final = range(-(2**63), 2**64)
_ABSENT_WHEN_NONE = frozenset({"server_seq", "job_correlation_id"})


def encode(numbered: Numbered) -> bytes:
    """Return the line as UTF-8 JSON with a line feed."""
    line = numbered.line
    record: dict[str, object] = {
        "v": SCHEMA_VERSION,
        "seq": numbered.seq,
        "event": line.event,
        "timestamp": numbered.timestamp,
        "elapsed": numbered.elapsed,
        "jobId": line.job_id,
        "projectId": line.project_id,
        "correlationId": numbered.correlation_id,
        "source": line.source,
    }
    for name, key in _keys(type(line)):
        value = getattr(line, name)
        if value is None and name in _ABSENT_WHEN_NONE:
            continue
        record[key] = plain(value) if is_dataclass(value) else value
    try:
        return orjson.dumps(record, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(record, _MAX_DEPTH), option=_OPTIONS)


def plain(value: object) -> object:
    """Return a nested record as a dictionary with the wire's keys."""
    return {key: getattr(value, name) for name, key in _keys(type(value))}


def camel(name: str) -> str:
    """Return a field's name as the wire spells it."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _writable(value: object, depth: int) -> object:
    """Return `value` as it can be written; null below `depth` levels."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case None | bool():
            return value
        case int():
            return value if value in _WORD else _double(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping() if depth:
            return {str(_writable(str(key), depth)): _writable(inner, depth - 1) for key, inner in value.items()}
        case list() | tuple() if depth:
            return [_writable(inner, depth - 1) for inner in value]
        case _:
            return None


def _double(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


_KEYS: Final[dict[type, tuple[tuple[str, str], ...]]] = {}


def _keys(record: type) -> tuple[tuple[str, str], ...]:
    """Return names and keys of a record's own fields: looked up a million times, made once."""
    known = _KEYS.get(record)
    if known is None:
        known = _KEYS[record] = tuple(
            (field.name, camel(field.name)) for field in fields(record) if field.name not in _HEADER
        )
    return known
