"""A numbered line as one line of NDJSON, and the spelling of its keys.

Keys are the fields' names in camel case, in a fixed order: the header first. A line's own keys are always there, null
where unknown; only `serverSeq` and `jobCorrelationId` are left out where no server gave them.

Every line can be written. What a strict reader of JSON refuses is told as near as JSON comes to it: a half of a
surrogate pair (a file name's undecodable byte, a server's cut text) as U+FFFD, a whole number beyond 64 bits as a
double, as any reader in JavaScript has it, a number that is none, and what is nested beyond all sense, as null.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Final, TypeAlias

import orjson

from exportctl.model.lines import SCHEMA_VERSION, Numbered

_HEADER = ("job_id", "project_id", "source", "timestamp")
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_MAX_DEPTH: Final = 128
"""Levels of nesting that are written; orjson writes 254."""
_WORD: Final = range(-(2**63), 2**64)
_ABSENT_WHEN_NONE = ("serverSeq", "jobCorrelationId")


def encode(numbered: Numbered) -> bytes:
    """Return the line as UTF-8 JSON with a line feed."""
    line = numbered.line
    keys, values = _own(type(line))
    record: dict[str, object] = {
        "v": SCHEMA_VERSION,
        "seq": numbered.seq,
        "event": line.event,
        "timestamp": numbered.timestamp,
        "elapsed": numbered.elapsed,
        "jobId": line.job_id,
        "projectId": line.project_id,
        "correlationId": numbered.correlation_id,
        **dict(zip(keys, values(line), strict=True)),
    }
    for key in _ABSENT_WHEN_NONE:
        if key in record and record[key] is None:
            del record[key]
    try:
        return orjson.dumps(record, _nested, _OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(record, _MAX_DEPTH), option=_OPTIONS)


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
        case _ if is_dataclass(value):
            return _writable(_nested(value), depth)
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


def _nested(value: object) -> dict[str, object]:
    """Return a record within a line as a dictionary with the wire's keys."""
    keys, values = _own(type(value))
    return dict(zip(keys, values(value), strict=True))


_Own: TypeAlias = tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]
_OWN: Final[dict[type, _Own]] = {}


def _own(record: type) -> _Own:
    """Return the keys of what a record adds to the header, and what reads their values; made once.

    There are two of them at least: a line has its `source`.
    """
    known = _OWN.get(record)
    if known is None:
        names = [field.name for field in fields(record) if field.name == "source" or field.name not in _HEADER]
        names.sort(key=lambda name: name != "source")
        known = _OWN[record] = tuple(map(camel, names)), attrgetter(*names)
    return known
