"""A terminal in memory, the bars on it, and the lines that they are shown."""

import io
import os
import re
import termios
from itertools import count

from exportctl.model.lines import (
    DownloadProgress,
    ExportProgress,
    Numbered,
    Outcome,
    Result,
)
from exportctl.output.bars import BarsSink
from exportctl.output.safe import width
from exportctl.protocol.events import StageProgress

OURS = str.maketrans("", "", "\u2068\u2069")
"""The marks around names from right to left."""


_PIECES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|.", re.DOTALL)


class Screen(io.TextIOBase):
    """A terminal in memory: cells, a cursor, and the few movements that bars may use; all else is an error."""

    encoding = "utf-8"

    def __init__(self, columns=80, lines=24):
        self.ours, self.theirs = os.openpty()
        self.cells = {}
        self.row = self.column = 0
        self.writes = 0
        self.raw = ""
        self.resize(columns, lines)

    def resize(self, columns, lines):
        self.columns = columns
        termios.tcsetwinsize(self.theirs, (lines, columns))

    def fileno(self):
        return self.theirs

    def close(self):
        if not self.closed:
            os.close(self.ours)
            os.close(self.theirs)
        super().close()

    def write(self, text):
        self.writes += 1
        self.raw += text
        for piece in _PIECES.findall(text):
            self._obey(piece)
        return len(text)

    def _obey(self, piece):
        if piece == "\r":
            self.column = 0
        elif piece == "\n":
            self.row, self.column = self.row + 1, 0
        elif piece == "\x1b[A":
            self.row = max(self.row - 1, 0)
        elif piece == "\x1b[K":
            self._erase(lambda row, column: row == self.row and column >= self.column)
        elif piece == "\x1b[J":
            self._erase(lambda row, column: (row, column) >= (self.row, self.column))
        elif piece != "\x1b[0m":
            assert piece.translate(OURS).isprintable(), f"the terminal was told {piece!r}"
            self._put(piece)

    def _erase(self, holds):
        self.cells = {place: char for place, char in self.cells.items() if not holds(*place)}

    def _put(self, char):
        if width(char) == 0:
            return
        if self.column + width(char) > self.columns:
            self.row, self.column = self.row + 1, 0
        self.cells[self.row, self.column] = char
        if width(char) == 2:
            self.cells[self.row, self.column + 1] = ""
        self.column += width(char)

    @property
    def rows(self):
        last = max((row for row, _ in self.cells), default=-1)
        rows = []
        for row in range(last + 1):
            columns = [column for at, column in self.cells if at == row]
            rows.append("".join(self.cells.get((row, column), " ") for column in range(max(columns, default=-1) + 1)))
        return [row.rstrip() for row in rows]


class Bench:
    """A sink on a screen, with a clock that the test moves."""

    def __init__(self, columns=80, lines=24):
        self.screen = Screen(columns, lines)
        self.now = 0.0
        self.sink = BarsSink(self.screen, lambda: self.now)
        self.numbers = count(1)

    def take(self, *lines):
        for line in lines:
            self.sink.take(Numbered(seq=next(self.numbers), timestamp="", elapsed=0.0, correlation_id="", line=line))

    def draw(self, *lines):
        self.take(*lines)
        self.now += 1.0
        self.sink.tick()
        return self.screen.rows


def progress(percent, current=5, item="cell_005.jpg", job="job-one-of-many"):
    return ExportProgress(
        job_id=job,
        phase="processing",
        progress=percent,
        stage="visualizations",
        stage_progress=StageProgress(current=current, total=12, item=item),
        estimated_time_remaining=13.0,
    )


def download(percent, got, job="job-one-of-many"):
    return DownloadProgress(
        job_id=job,
        phase="downloading",
        progress=percent,
        bytes=got,
        total_bytes=48_200_000,
        bytes_per_second=5_020_000.0,
        estimated_time_remaining=8.0,
    )


def completed(job="job-one-of-many", **more):
    facts = {"file": "/data/x.zip", "bytes": 48_200_000, "verified": True} | more
    return Result(job_id=job, outcome=Outcome.COMPLETED, exit_code=0, **facts)
