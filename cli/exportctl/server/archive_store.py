"""Where jobs' archives are kept, as everything else sees it: a place for each job, and the whole archive to read.

A job makes its archive at a path of its own, where those who read along read it; once it is whole it is read by `open`
alone. `folder_store.py` keeps all of them in a folder, of this machine or one that is mounted. All of it blocks.
"""

from typing import BinaryIO, Protocol

from exportctl.server.files import JobFiles


class ArchiveGoneError(Exception):
    """The archive is not there any more, or not what it was."""


class ArchiveStore(Protocol):
    """The archives of all jobs, by the job's id."""

    def files(self, job: str) -> JobFiles:
        """Say where a job works, and where its archive grows."""

    def open(self, job: str, size: int) -> BinaryIO:
        """Open a whole archive of `size` bytes, unbuffered: it can be read to its end whatever is removed meanwhile.

        Raises ArchiveGoneError.
        """

    def settle(self, job: str) -> None:
        """Remove all that a job left but its archive."""

    def remove(self, job: str) -> bool:
        """Remove all that a job left; False, and a line in the server's log, if something is left."""

    def jobs(self) -> list[str]:
        """Return the jobs of which anything is kept."""
