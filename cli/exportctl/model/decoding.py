"""A line of NDJSON as the record it was: for recordings and pipes, whoever wrote them.

Nothing that can stand in a file is an error. What is no line of ours is None; an unknown key is left out, a missing or
senseless value becomes null or the field's default, so that recordings of other versions can be read.
"""

import math
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from msgspec import Struct
from msgspec.structs import fields

from exportctl.model import lines
from exportctl.model.encoding import camel
from exportctl.model.lines import Line, Numbered

_NONE: Final = object()
"""No value of the type that was asked for."""
_Reader = Callable[[object], object]


def decode(text: bytes) -> Numbered | None:
    """Return the line that `text` holds; None for anything else."""
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    kind = _kind(record)
    if kind is None:
        return None
    line = _record(kind, record)
    if not isinstance(line, Line):
        return None
    elapsed, seq = record.get("elapsed"), record.get("seq")
    return Numbered(
        seq=seq if type(seq) is int else 0,
        timestamp=line.timestamp or "",
        elapsed=max(elapsed, 0.0) if isinstance(elapsed, int | float) and _is_number(elapsed) else 0.0,
        correlation_id=str(record.get("correlationId") or ""),
        line=line,
    )


def _kind(record: Mapping[str, object]) -> type[Line] | None:
    if record.get("v") != lines.SCHEMA_VERSION:
        return None
    event = record.get("event")
    if event == lines.ExportProgress.event and "bytes" in record:
        return lines.DownloadProgress
    return _kinds().get(event) if isinstance(event, str) else None


@cache
def _kinds() -> dict[str, type[Line]]:
    found: dict[str, type[Line]] = {}
    for thing in vars(lines).values():
        if isinstance(thing, type) and issubclass(thing, Line) and hasattr(thing, "event"):
            found.setdefault(thing.event, thing)
    return found


@cache
def _fields(kind: type[Struct]) -> list[tuple[str, str, _Reader, bool]]:
    """Return each field's name, its key, what reads it, and whether it must be there."""
    hints = get_type_hints(kind)
    return [
        (
            field.name,
            camel(field.name),
            _reader(hints[field.name]),
            field.required,
        )
        for field in fields(kind)
    ]


def _record(kind: Any, record: object) -> object:
    if not isinstance(record, Mapping):
        return _NONE
    given: dict[str, object] = {}
    for name, key, read, is_needed in _fields(kind):
        value = read(record.get(key))
        if value is not _NONE:
            given[name] = value
        elif is_needed:
            return _NONE
    return kind(**given)


def _reader(hint: Any) -> _Reader:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _reader(arguments[0])
    if origin in {Union, types.UnionType}:
        (inner,) = (_reader(argument) for argument in arguments if argument is not type(None))
        return lambda value: None if (found := inner(value)) is _NONE else found
    if origin is Literal:
        return lambda value: value if value in arguments else _NONE
    if origin is tuple:
        return lambda value: tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
    if origin is not None:
        return lambda value: value if isinstance(value, dict) else _NONE
    if hint is float:
        return lambda value: value if _is_number(value) else _NONE
    if issubclass(hint, Struct):
        return lambda value: _record(hint, value)
    if issubclass(hint, Enum):
        return lambda value: next((member for member in hint if member.value == value), _NONE)
    return lambda value: value if type(value) is hint else _NONE


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
