"""Which images the folders of projects have, without walking them for everybody who asks.

A folder whose entries change has a new change time (POSIX, stat), and so has each within it: as long as none has, the
list of before is right. Times tick, so a folder that changed just before it was listed is listed again.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from exportctl.server.export.folder import list_folder

MOST_KEPT: Final = 500_000
"""Paths of images that are kept of all projects together, 100 bytes each; beyond that only their number."""
_SETTLED: Final = 3 * 10**9
"""Nanoseconds: the coarsest tick of the file systems in use is two seconds."""
_Stamp = tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """`images` is None where only their number is kept."""

    count: int
    images: Sequence[str] | None
    folders: Sequence[str]
    stamps: Sequence[_Stamp]


class Listings:
    """Lists images by their extensions, on any thread, for one caller of a folder at a time; `now`: Unix time in ns."""

    def __init__(self, now: Callable[[], int] = time.time_ns, most_kept: int = MOST_KEPT) -> None:
        self._now = now
        self._most_kept = most_kept
        self._known: dict[str, _Listed] = {}
        self._keeping = threading.Lock()

    def count(self, folder: str) -> int:
        """Return the number of a project's images; raises OSError when its folder cannot be read."""
        return self._of(folder).count

    def images(self, folder: str) -> Sequence[str]:
        """Return the paths of a project's images, relative to its folder, in order; raises OSError."""
        found = self._of(folder, whole=True).images
        return () if found is None else found

    def _of(self, folder: str, *, whole: bool = False) -> _Listed:
        known = self._known.get(folder)
        if known is None or (whole and known.images is None) or _stamps(known.folders) != known.stamps:
            known = self._listed(folder)
        return known

    def _listed(self, folder: str) -> _Listed:
        with self._keeping:
            self._known.pop(folder, None)
        began = self._now()
        listing = list_folder(folder)
        folders = [folder, *(os.path.join(folder, path) for path in listing.folders)]  # noqa: PTH118 - not always UTF-8
        stamps = _stamps(folders)
        found = _Listed(count=len(listing.images), images=listing.images, folders=folders, stamps=stamps)
        if all(stamp is not None and stamp[0] < began - _SETTLED for stamp in stamps):
            self._keep(folder, found)
        return found

    def _keep(self, folder: str, found: _Listed) -> None:
        """Keep what was listed, and of those that were listed longest ago only the numbers."""
        with self._keeping:
            others = {place: one for place, one in self._known.items() if one.images is not None}
            kept = found.count + sum(one.count for one in others.values())
            for place, one in others.items():
                if kept > self._most_kept:
                    self._known[place] = replace(one, images=None)
                    kept -= one.count
            self._known[folder] = found


def _stamps(folders: Sequence[str]) -> list[_Stamp]:
    return [_stamp(folder) for folder in folders]


def _stamp(folder: str) -> _Stamp:
    try:
        facts = os.stat(folder)  # noqa: PTH116 - not always UTF-8
    except OSError:
        return None
    return facts.st_ctime_ns, facts.st_ino
