"""The files of one job, in a folder of its own: where they lie, and how they come and go."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Where a job's files lie. `gate`: tasks begin only while it is there."""

    folder: Path

    @property
    def gate(self) -> Path:
        """The file without which no task begins."""
        return self.folder / "gate"

    @property
    def plan(self) -> Path:
        """The plan, beside it its index."""
        return self.folder / "plan"

    @property
    def parts(self) -> Path:
        """What tasks make, until it is in the archive."""
        return self.folder / "parts"

    @property
    def archive(self) -> Path:
        """The archive."""
        return self.folder / "archive.zip"


def prepare(files: JobFiles) -> None:
    """Make the job's folder and open its gate."""
    files.parts.mkdir(parents=True)
    files.gate.touch()


def shut(gate: Path) -> None:
    """Let no task of the job begin any more."""
    gate.unlink(missing_ok=True)


def tidy(files: JobFiles) -> None:
    """Remove everything but the archive."""
    for path in list(files.folder.iterdir()):
        if path == files.archive:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove(folder: Path) -> bool:
    """Remove a folder with all that is in it; False, and a line in the server's log, if something is left."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("Files of a job could not be removed: %s", error)
    return not folder.exists()
