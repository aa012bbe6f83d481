"""Recorded lines, from a file or a pipe, one by one as they come: what `render` and `report` read."""

import os
import select
import stat
from collections.abc import Iterator
from typing import Final

from exportctl.model.decoding import decode
from exportctl.model.errors import Usage
from exportctl.model.lines import Numbered

_PIECE: Final = 1 << 16
_LONGEST: Final = 32 << 20
"""Bytes without a line feed after which they are no line."""


class Recording:
    """Where lines come from. `is_file`: all of it is there already. Close it when it is read."""

    def __init__(self, name: str) -> None:
        """Open it; `-` is standard input. Raises `Usage` where it cannot be read."""
        self.name = "standard input" if name == "-" else name
        try:
            self._descriptor = 0 if name == "-" else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            mode = os.fstat(self._descriptor).st_mode
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        if stat.S_ISDIR(mode):
            os.close(self._descriptor)
            raise Usage(f"{self.name} is a folder", hint="name a file that --ndjson or --events wrote")
        self.is_file = stat.S_ISREG(mode)
        self.others = 0
        self._pending = bytearray()

    def lines(self, wait: float | None = None) -> Iterator[Numbered | None]:
        """Yield the lines; None each time that `wait` seconds passed without one. Raises `Usage`."""
        while True:
            if wait is not None and not self.is_file:
                readable, _, _ = select.select([self._descriptor], [], [], wait)
                if not readable:
                    yield None
                    continue
            try:
                piece = os.read(self._descriptor, _PIECE)
            except OSError as error:
                raise self._unreadable(error) from error
            yield from self._take(piece)
            if not piece:
                return

    def close(self) -> None:
        """Close it, if it was opened here."""
        if self._descriptor > 0:
            os.close(self._descriptor)

    def _take(self, piece: bytes) -> Iterator[Numbered]:
        *whole, rest = (self._pending + piece).split(b"\n")
        self._pending = bytearray() if len(rest) > _LONGEST else rest
        if not piece and rest:
            whole.append(rest)  # the last line may have lost its end, or only its line feed
        for text in whole:
            line = decode(bytes(text))
            if line is not None:
                yield line
            elif text.strip():
                self.others += 1

    def _unreadable(self, error: Exception) -> Usage:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Usage(f"cannot read {self.name}: {said}", hint="name a file that --ndjson or --events wrote")
