"""Room kept free for the last words of jobs: on a full disk a file of no use makes way for them.

A job that fails because the disk is full must still be able to say so. Without the file no new job is begun, so that
the word of everyone who is at work has its room.
"""

import os
from pathlib import Path
from typing import Final

from exportctl.server.full_disk import is_full

SIZE: Final = 2 << 20
"""An end takes some 20 kB of the event log's write-ahead log: enough for a hundred."""


class Ballast:
    """The file at `path`. Blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> bool:
        """Have the file there; False where the disk has no room for it."""
        if self._path.exists():
            return True
        try:
            # Zeros would take no room where the file system packs its files.
            self._path.write_bytes(os.urandom(SIZE))
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if not is_full(error):
                raise
            return False
        return True

    def drop(self) -> bool:
        """Free its room; False where it was used up already."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
