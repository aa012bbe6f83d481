"""JSON as both protocols use it: a text in, values out, and back.

Whole numbers beyond 64 bits arrive as floats, as all of them do in a JavaScript client. What servers write though it is
no JSON is read as what JavaScript would make of it: NaN and infinities as null, half a surrogate pair, which a cut
emoji leaves, as U+FFFD. Anything else that orjson refuses (numbers beyond a double, bytes that are no UTF-8) and
anything nested deeper than `MAX_DEPTH` is an error of ours, never one of orjson's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import orjson

from exportctl.protocol.errors import LimitExceededError, LocalProtocolError, MalformedPacketError

Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""What travels in events: received, it is built of `list`, `dict` and, in binary events only, `bytes`."""

MAX_DEPTH: Final = 128
"""Levels of nesting that are taken in. orjson reads 1024 and writes 254: what was received must be fit to write."""

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)
"""A string, or what stands for a number in Python's JSON."""
_ESCAPE: Final = re.compile(r"(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..|\\.", re.DOTALL)


def read(text: str) -> Value:
    """Read one JSON document.

    Raises MalformedPacketError if it is none, LimitExceededError if it is nested too deeply.
    """
    try:
        value: Value = orjson.loads(text)
    except orjson.JSONDecodeError:
        text = _TOKEN.sub(_mended, text)
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            # The error holds the whole document, which may hold secrets: only what and where go on.
            raise MalformedPacketError(f"no JSON: {error.msg} (character {error.pos})") from None
    # A level costs two characters and an opening bracket, so most texts are cleared without a look at the value.
    if len(text) > 2 * MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def read_body(content: bytes) -> Value:
    """Read the body of an HTTP answer as `read` does; bytes that are no UTF-8 too. Raises what it raises."""
    try:
        value: Value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return read(content.decode("utf-8", "replace"))
    return value


def _mended(token: re.Match[str]) -> str:
    text = token[0]
    if not text.startswith('"'):
        return "null"
    return _ESCAPE.sub(_whole, text) if "\\u" in text else text


def _whole(escape: re.Match[str]) -> str:
    is_half = escape[1] is None and len(escape[0]) > 2  # noqa: PLR2004 - a backslash and what it escapes
    return "\ufffd" if is_half else escape[0]


def write(value: Value, *, detach: Callable[[bytes], Value] | None = None) -> str:
    """Write one JSON document; `detach` is asked, in order of appearance, what stands for each bytes object.

    NaN and infinities become null, as JSON.stringify has it. Raises LocalProtocolError for what JSON cannot say: bytes
    without `detach`, keys that are no strings, integers beyond 64 bits, lone surrogates, cycles, foreign types.
    """

    def stand_in(thing: object) -> Value:
        if detach is not None and isinstance(thing, bytes | bytearray | memoryview):
            return detach(bytes(thing))
        raise TypeError(f"{type(thing).__name__} is no JSON")

    try:
        return orjson.dumps(value, default=stand_in, option=_OPTIONS).decode()
    except orjson.JSONEncodeError as error:
        raise LocalProtocolError(f"cannot be sent: {error}") from error


def _check_depth(value: Value) -> None:
    level: list[Value] = [value]
    for _ in range(MAX_DEPTH + 1):
        holders = [holder for holder in level if isinstance(holder, list | dict)]
        if not holders:
            return
        level = [inner for holder in holders for inner in (holder.values() if isinstance(holder, dict) else holder)]
    raise LimitExceededError(f"JSON nested deeper than {MAX_DEPTH} levels")
