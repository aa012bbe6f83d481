"""A numbered line as one line of NDJSON, and the spelling of its keys.

Keys are the fields' names in camel case, in a fixed order: the header first. A line's own keys are always there, null
where unknown; only `serverSeq` and `jobCorrelationId` are left out where no server gave them.

Every line can be written. What a strict reader of JSON refuses is told as near as JSON comes to it: a half of a
surrogate pair (a file name's undecodable byte, a server's cut text) as U+FFFD, a whole number beyond 64 bits as a
double, as any reader in JavaScript has it, a number that is none, and what is nested beyond all sense, as null.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import orjson
from msgspec import Struct

from exportctl.model.lines import SCHEMA_VERSION, ExportProgress, Numbered

HEADER: Final = ("v", "seq", "event", "timestamp", "elapsed", "jobId", "projectId", "correlationId", "source")
_IN_HEADER: Final = frozenset({"job_id", "project_id", "source", "timestamp"})
ABSENT_WHEN_NONE: Final = ("serverSeq", "jobCorrelationId", "stages")
_MAX_DEPTH: Final = 128
"""Levels of nesting that are written; orjson writes 254."""
_WORD: Final = range(-(2**63), 2**64)


def encode(numbered: Numbered) -> bytes:
    """Return the line as UTF-8 JSON with a line feed."""
    line = numbered.line
    if type(line) is ExportProgress:
        return _written(_progress(numbered, line))
    spelling = _spelling(type(line))
    header = (
        SCHEMA_VERSION,
        numbered.seq,
        line.event,
        numbered.timestamp,
        numbered.elapsed,
        line.job_id,
        line.project_id,
        numbered.correlation_id,
    )
    record = dict(zip(spelling.keys, header + spelling.values(line), strict=True))
    for key in ABSENT_WHEN_NONE:
        if key in record and record[key] is None:
            del record[key]
    return _written(record)


def _progress(numbered: Numbered, line: ExportProgress) -> dict[str, object]:
    """Return the record of a progress, which nearly every line is, in a third of the time (`tests/bench/follow.py`)."""
    stage = line.stage_progress
    record = {
        "v": SCHEMA_VERSION,
        "seq": numbered.seq,
        "event": line.event,
        "timestamp": numbered.timestamp,
        "elapsed": numbered.elapsed,
        "jobId": line.job_id,
        "projectId": line.project_id,
        "correlationId": numbered.correlation_id,
        "source": str(line.source),
        "serverSeq": line.server_seq,
        "jobCorrelationId": line.job_correlation_id,
        "phase": line.phase,
        "progress": line.progress,
        "stage": line.stage,
        "stageProgress": stage and {"current": stage.current, "total": stage.total, "item": stage.item},
        "message": line.message,
        "template": line.template,
        "data": line.data,
        "estimatedTimeRemaining": line.estimated_time_remaining,
    }
    if line.server_seq is None:
        del record["serverSeq"]
    if line.job_correlation_id is None:
        del record["jobCorrelationId"]
    return record


def _written(record: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(record, _nested, orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(record, _MAX_DEPTH), option=orjson.OPT_APPEND_NEWLINE)


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
        case Struct():
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling:
    """How records of one kind are written: all keys of the line, and what reads the values from its source on."""

    keys: tuple[str, ...]
    values: Callable[[object], tuple[object, ...]]


_SPELLINGS: Final[dict[type[Struct], _Spelling]] = {}


def _spelling(kind: type[Struct]) -> _Spelling:
    """Return how records of this kind are written: made once, asked a million times."""
    known = _SPELLINGS.get(kind)
    if known is None:
        names = [name for name in kind.__struct_fields__ if name not in _IN_HEADER]
        known = _SPELLINGS[kind] = _Spelling(
            keys=(*HEADER, *map(camel, names)),
            values=attrgetter("source", *names),
        )
    return known


def _nested(value: object) -> object:
    """Return a record within a line with the wire's keys."""
    if isinstance(value, Struct):
        return {camel(name): getattr(value, name) for name in value.__struct_fields__}
    raise TypeError
