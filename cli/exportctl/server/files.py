"""The files of one job, in a folder of its own: where they lie, and how they come and go.

What a job works with lies in `work-N`, where N counts how often the job was begun or taken up again. A taking-up moves
the whole folder, finished parts included, to the next number: a worker that outlived its server for a moment finds
neither gate nor place any more, and can neither begin nor tear anything.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Where a job's files lie. `folder` holds all of them; `number` is that of the work folder, 0 before `take`."""

    folder: Path
    number: int = 0

    @property
    def work(self) -> Path:
        """What is needed while the job runs."""
        return self.folder / f"work-{self.number}"

    @property
    def gate(self) -> Path:
        """The file without which no task begins."""
        return self.work / "gate"

    @property
    def plan(self) -> Path:
        """The plan, beside it its index."""
        return self.work / "plan"

    @property
    def parts(self) -> Path:
        """What tasks make, until it is in the archive."""
        return self.work / "parts"

    @property
    def ledger(self) -> Path:
        """The list of what is in the archive for good."""
        return self.folder / "ledger"

    @property
    def archive(self) -> Path:
        """The archive."""
        return self.folder / "archive.zip"

    def take(self) -> Self:
        """Make the job's folder, or take over what an earlier server left in it, and open the gate."""
        self.folder.mkdir(parents=True, exist_ok=True)
        left = {int(path.name[5:]): path for path in self.folder.glob("work-*") if path.name[5:].isdigit()}
        number = max(left, default=0)
        taken = replace(self, number=number + 1)
        if left:
            left.pop(number).rename(taken.work)
            for older in left.values():
                shutil.rmtree(older)
            for place in (taken.work, taken.parts):
                # What was being written when the server ended; all else was renamed into place whole.
                for aside in place.glob("*.new*"):
                    aside.unlink()
        taken.parts.mkdir(parents=True, exist_ok=True)
        taken.gate.touch()
        return taken

    def forget(self) -> None:
        """Believe nothing that an earlier server made: parts go, and the archive will be begun anew."""
        self.ledger.unlink(missing_ok=True)
        shutil.rmtree(self.parts)
        self.parts.mkdir()

    def settle(self) -> None:
        """Remove all but the archive: the job's end is told. The engine does it, and a tidying at the same time may."""
        try:
            left = list(self.folder.iterdir())
        except FileNotFoundError:
            return  # its archive was in the way of newer ones
        for path in left:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path != self.archive:
                path.unlink(missing_ok=True)


def shut(gate: Path) -> None:
    """Let no task of the job begin any more. Where the disk refuses, the pool must end those that do."""
    try:
        gate.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("The gate of a job could not be shut: %s", error)
