"""The framing of a body in chunks (RFC 9112, section 7.1), without its data: that goes past it to where it belongs.

`take` is given what came next and takes off framing only; `left` bytes of data are due then, or the body `is_ended`.
Whoever passes on data counts it down with `passed`. h11 would copy every byte several times.
"""

import re
from typing import Final

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n", re.ASCII)
_LONGEST: Final = 4096
"""Bytes of a line, its extensions included, and of all trailers together."""
_END: Final = b"\r\n"


class FramingError(Exception):
    """What came is no body in chunks."""


class Chunks:
    """One body."""

    def __init__(self) -> None:
        self.left = 0
        self.is_ended = False
        self._is_behind_data = self._is_in_trailers = False
        self._trailers = 0

    def passed(self, count: int) -> None:
        """Note that so many bytes of the data due came."""
        self.left -= count
        self._is_behind_data = self.left == 0

    def take(self, data: bytearray) -> None:
        """Take framing off the front of `data`, as far as it is whole. Raises `FramingError`."""
        while not self.left and not self.is_ended:
            if self._is_behind_data:
                if not _END.startswith(bytes(data[:2])):
                    raise FramingError("a chunk is longer than it says")
                if len(data) < len(_END):
                    return
                del data[:2]
                self._is_behind_data = False
            end = data.find(b"\n", 0, _LONGEST) + 1
            if not end:
                if len(data) >= _LONGEST:
                    raise FramingError("a line between chunks has no end")
                return
            line = bytes(data[:end])
            del data[:end]
            self._line(line)

    def _line(self, line: bytes) -> None:
        if self._is_in_trailers:
            self._trailers += len(line)
            if self._trailers > _LONGEST:
                raise FramingError("there is no end of trailers")
            self.is_ended = line == _END
            return
        found = _SIZE.fullmatch(line)
        if found is None:
            raise FramingError("a chunk has no size")
        self.left = int(found[1], 16)
        self._is_in_trailers = self.left == 0
