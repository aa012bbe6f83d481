"""What of a job is in its archive for good, step by step, so that a server that died can go on from there.

A line is written when all entries of a step are in the archive: it says how long the archive is by then, and its
digest. A line is believed if the archive still has those bytes; what lies behind the last line believed is cut off, and
its steps are run again. One thread writes the archive and the ledger in turn, so lines and sizes only grow.
"""

import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One step that is done, in the order of `steps`; `elapsed` are the seconds the job was worked on by then.

    `size` and `sha256` are the archive's behind it; `seconds` are the step's by stage. The line of a `sealed` archive
    is the last, and has the images of the job by stage.
    """

    step: int
    size: int
    sha256: str
    elapsed: float
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    sealed: bool = False


@dataclass(slots=True, kw_only=True)
class Past:
    """All that the lines say together. `length`: bytes of the ledger up to the last line believed."""

    steps: set[int] = field(default_factory=set)
    size: int = 0
    sha256: str = ""
    elapsed: float = 0
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    sealed: bool = False
    length: int = 0

    def add(self, done: Done) -> None:
        """Count one more step."""
        self.steps.add(done.step)
        self.totals = done.totals
        self.size, self.sha256, self.elapsed, self.sealed = done.size, done.sha256, done.elapsed, done.sealed
        self.warnings += done.warnings
        for stage, seconds in done.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0) + seconds


def read_past(path: Path, archive_size: int) -> Past:
    """Read the lines an archive of this size can bear out; a last line without its end is none."""
    past = Past()
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        for line in lines:
            done = _decoded(line)
            if done is None or done.size > archive_size:
                break
            past.add(done)
            past.length += len(line)
    return past


class Ledger:
    """Writes lines, each with one call to the system, behind the first `length` bytes. Blocks; call `close` last."""

    def __init__(self, path: Path, length: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._file.truncate(length)

    def write(self, done: Done) -> None:
        """Add a line; raises OSError if the disk is full, after which no other may be added."""
        line = orjson.dumps(asdict(done), option=orjson.OPT_APPEND_NEWLINE)
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _decoded(line: bytes) -> Done | None:
    if not line.endswith(b"\n"):
        return None
    try:
        known: dict[str, Any] = orjson.loads(line)
        return Done(**{**known, "warnings": tuple(known["warnings"])})
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
