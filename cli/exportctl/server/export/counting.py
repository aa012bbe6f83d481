"""How many images the folders of projects have, without walking them for everybody who asks.

A folder whose entries change has a new change time (POSIX, stat), and so has each within it: as long as none has, the
count of before is right. Times tick, so a folder that changed just before it was counted is counted again.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from exportctl.server.export.folder import list_folder

_SETTLED: Final = 3 * 10**9
"""Nanoseconds: the coarsest tick of the file systems in use is two seconds."""
_Stamp = tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    images: int
    folders: Sequence[str]
    stamps: Sequence[_Stamp]


class Counts:
    """Counts images by their extensions, on whatever thread it is called. `now` gives Unix nanoseconds."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._known: dict[str, _Count] = {}
        self._one: dict[str, threading.Lock] = {}

    def of(self, folder: str) -> int:
        """Return the images of a project; raises OSError when its folder cannot be read."""
        # Whoever asks meanwhile is given what the first one finds.
        with self._one.setdefault(folder, threading.Lock()):
            known = self._known.get(folder)
            if known is None or _stamps(known.folders) != known.stamps:
                known = self._counted(folder)
            return known.images

    def _counted(self, folder: str) -> _Count:
        self._known.pop(folder, None)
        began = self._now()
        listing = list_folder(folder)
        folders = [folder, *(os.path.join(folder, path) for path in listing.folders)]  # noqa: PTH118 - not always UTF-8
        count = _Count(images=len(listing.images), folders=folders, stamps=_stamps(folders))
        if all(stamp is not None and stamp[0] < began - _SETTLED for stamp in count.stamps):
            self._known[folder] = count
        return count


def _stamps(folders: Sequence[str]) -> list[_Stamp]:
    return [_stamp(folder) for folder in folders]


def _stamp(folder: str) -> _Stamp:
    try:
        facts = os.stat(folder)  # noqa: PTH116 - as above
    except OSError:
        return None
    return facts.st_ctime_ns, facts.st_ino
