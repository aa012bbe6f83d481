"""JSON from files of any origin: UTF-8 with or without a mark, UTF-16, NaN, nested without end, 200 MB.

orjson reads what is right. What it refuses is tried once more with the standard library, which takes NaN and
Infinity, as Python programs write them.
"""

import json
import os
from collections.abc import Callable

import orjson

from exportctl.server.export.limits import memory

_SMALL = 16 << 20
_WEIGHTS = {b",": 40, b'"': 25, b"[": 88, b"{": 240}
"""Bytes of memory that Python takes for what each of them begins or parts, measured, and some more."""
_SIZE_LIMIT = 1 << 30
_RETRY_LIMIT = 256 << 20


class JsonFileError(Exception):
    """The file holds no JSON that can be used; the text says why and reads on from the file's name."""


def read_json(path: str, opener: Callable[[str, int], int] | None = None) -> object:
    """Read and decode the file, which `opener` opens, as of `open`; raises JsonFileError."""
    try:
        with open(path, "rb", opener=opener) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _SIZE_LIMIT:
                raise JsonFileError(f"is too large to be read ({size >> 20} MB, the limit is {_SIZE_LIMIT >> 20} MB)")
            content = file.read(size + 1)
            if len(content) != size:
                raise JsonFileError("was changed while it was read")
    except OSError as error:
        raise JsonFileError(f"cannot be read ({error.strerror or 'input error'})") from error
    if not content.strip():
        raise JsonFileError("is empty")
    if size > _SMALL and weight(content) > memory() // 2:
        raise JsonFileError("is too large to be read: it takes more than half of the memory there is")
    try:
        return orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        reason = str(error).split(": line", maxsplit=1)[0]
        if size > _RETRY_LIMIT:
            raise JsonFileError(f"is damaged ({reason})") from error
    return _read_slowly(content, reason)


def weight(content: bytes) -> int:
    """Return about how many bytes of memory JSON takes when it is read: 20 times its own where it is made for that."""
    return 2 * len(content) + sum(count * content.count(mark) for mark, count in _WEIGHTS.items())


def _read_slowly(content: bytes, reason: str) -> object:
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except UnicodeDecodeError as error:
        raise JsonFileError("is damaged (it is not UTF-8 text)") from error
    try:
        return json.loads(text)
    except RecursionError as error:
        raise JsonFileError("is damaged (nested too deep)") from error
    except ValueError as error:
        raise JsonFileError(f"is damaged ({reason})") from error
