"""Archives in a folder, a folder for each job."""

import logging
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from exportctl.server.archive_store import ArchiveGoneError
from exportctl.server.files import JobFiles

logger = logging.getLogger(__name__)


class FolderStore:
    """An ArchiveStore in `folder`, which is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, job: str) -> JobFiles:
        """See ArchiveStore."""
        return JobFiles(folder=self._folder / job)

    def open(self, job: str, size: int) -> BinaryIO:
        """See ArchiveStore."""
        try:
            file = self.files(job).archive.open("rb", buffering=0)
        except OSError as error:
            raise ArchiveGoneError from error
        if os.fstat(file.fileno()).st_size != size:
            file.close()
            raise ArchiveGoneError
        return file

    def settle(self, job: str) -> None:
        """See ArchiveStore."""
        self.files(job).settle()

    def remove(self, job: str) -> bool:
        """See ArchiveStore."""
        folder = self.files(job).folder
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("Files of a job could not be removed: %s", error)
        return not folder.exists()

    def jobs(self) -> list[str]:
        """See ArchiveStore."""
        return sorted(path.name for path in self._folder.iterdir())


def folder_in(state: Path) -> Path:
    """Return where the archives of a server with this state folder are kept."""
    return state / "jobs"
