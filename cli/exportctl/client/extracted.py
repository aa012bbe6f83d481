"""The mark beside a folder that says: these are this job's entries.

It is there from before they are moved to their place until the command's end is noted, so that the next command after a
kill in between finds the work done.

A folder is known by its number and the time of its last change, which the move leaves as they were: one that others
put there, or put something into, is not taken for it.
"""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import orjson

from exportctl.client.destination import JOB_LETTERS

_SUFFIX: Final = ".extracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was extracted: the archive's size in bytes and its SHA-256 in hexadecimal, and to which folder."""

    job_id: str
    size: int
    sha256: str
    device: int
    inode: int
    changed_ns: int

    @classmethod
    def of(cls, folder: Path, *, job_id: str, size: int, sha256: str) -> Self:
        """Return what is to be said of a folder as it is now. Raises `OSError`."""
        here = folder.stat()
        return cls(
            job_id=job_id,
            size=size,
            sha256=sha256,
            device=here.st_dev,
            inode=here.st_ino,
            changed_ns=here.st_mtime_ns,
        )

    def leave(self, folder: Path) -> None:
        """Write the mark beside where the folder will be. Raises `OSError`."""
        _mark(folder, self.job_id).write_bytes(orjson.dumps(asdict(self)))


def left_at(folder: Path, job_id: str) -> Extracted | None:
    """Return what a command for this job has extracted to `folder` and not noted; None for nothing."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        said = Extracted(**orjson.loads(_mark(folder, job_id).read_bytes()))
        if not folder.is_symlink() and said == Extracted.of(folder, job_id=job_id, size=said.size, sha256=said.sha256):
            return said
    return None


def forget(folder: Path | None, job_id: str) -> None:
    """Take the mark of a folder away, where there is one."""
    if folder is not None:
        with contextlib.suppress(OSError):
            _mark(folder, job_id).unlink(missing_ok=True)


def _mark(folder: Path, job_id: str) -> Path:
    return folder.with_name(f".{folder.name}.{job_id[:JOB_LETTERS]}{_SUFFIX}")
