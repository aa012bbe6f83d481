"""What the folders of projects hold, looked at beside the event loop: they may be large, and their disks slow.

One thing at a time is done in a folder, however many ask: a disk that does not answer holds one thread, and costs those
nothing who ask about others. What is only shown beside others (`facts`) is not waited for for long, but given as it was
known last.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool

from exportctl.server.export.limits import Limits
from exportctl.server.export.listings import Listings
from exportctl.server.export.selection import check_selection
from exportctl.server.job import timestamp

T = TypeVar("T")

_FIRST: Final = 5.0
_AGAIN: Final = 0.05
"""Seconds that those who list projects wait for a folder: one never looked at, one of which something is known."""

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """How many images, and when the folder changed last; None where that cannot be found out."""

    images: int | None = None
    changed: str | None = None


class Folders:
    """The folders of one server's projects. From the event loop's thread."""

    def __init__(self, listings: Listings | None = None) -> None:
        self._listings = listings or Listings()
        self._turns: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looks: dict[Path, asyncio.Task[Facts]] = {}
        self._known: dict[Path, Facts] = {}

    async def facts(self, folders: Sequence[Path]) -> Sequence[Facts]:
        """Say what is known of these folders, found out now where that is soon done."""
        looks = {folder: self._looks.get(folder) or self._look(folder) for folder in folders}
        for seconds, awaited in (
            (_AGAIN, list(looks.values())),
            (_FIRST, [look for folder, look in looks.items() if folder not in self._known]),
        ):
            if awaited:
                await asyncio.wait(awaited, timeout=seconds)
        return [self._known.setdefault(folder, Facts()) for folder in folders]

    async def images(self, folder: Path) -> tuple[Facts, Sequence[str]]:
        """Return the paths of a folder's images, relative to it, and what is to be said of it; of one away, none."""
        return await self.within(folder, lambda: self._images(folder))

    async def check(self, folder: Path, selected: Sequence[str], limits: Limits) -> None:
        """Raise ProjectError where an export of this folder is not possible; see `check_selection`."""
        await self.within(folder, lambda: check_selection(str(folder), selected, limits, self._listings.images))

    async def within(self, folder: Path, work: Callable[[], T]) -> T:
        """Have something done in a folder, on a thread."""
        async with self._turns[folder]:
            return await run_in_threadpool(work)

    def _look(self, folder: Path) -> asyncio.Task[Facts]:
        async def look() -> Facts:
            try:
                self._known[folder] = await self.within(folder, lambda: self._facts(folder))
            finally:
                del self._looks[folder]
            return self._known[folder]

        self._looks[folder] = asyncio.create_task(look())
        return self._looks[folder]

    # Everything below runs on a thread.

    def _facts(self, folder: Path) -> Facts:
        try:
            return Facts(images=self._listings.count(str(folder)), changed=changed_at(folder.stat()))
        except OSError:
            return Facts()

    def _images(self, folder: Path) -> tuple[Facts, Sequence[str]]:
        try:
            paths = self._listings.images(str(folder))
            return Facts(images=len(paths), changed=changed_at(folder.stat())), paths
        except OSError:
            return Facts(), ()


def changed_at(facts: os.stat_result) -> str:
    """Say when a file or folder was changed last; a time that no calendar has is brought into the nearest year."""
    return timestamp(min(max(facts.st_mtime, 0), _LAST_SECOND))
