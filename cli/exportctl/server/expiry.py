"""What is kept on disk, and until when: archives go by age, and the oldest first where all together are too large.

Their jobs stay known for longer, but not for ever. Folders that belong to nobody, which a server leaves that dies
between two words, go too.

A clock may be set while archives wait. Set forward while the server runs, it takes no time from them; set back, at any
time, it gives none of them more than a new one has.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from exportctl.server.archive_store import ArchiveStore
from exportctl.server.job import JobRecord, Status
from exportctl.server.log import EventLog, KeptArchive, LogFullError
from exportctl.server.settings import Settings

logger = logging.getLogger(__name__)

_SET: Final = 60.0
"""Seconds by which a clock that was set is another, at least; less is one that is kept right."""
_LOOK: Final = 60.0
"""Seconds between looks at the clock."""


class Expiry:
    """Removes what has had its time. `is_running` says whether a job is queued or worked on here."""

    def __init__(
        self, settings: Settings, log: EventLog, archives: ArchiveStore, is_running: Callable[[str], bool]
    ) -> None:
        self._archives = archives
        self._limit = settings.archives_limit
        self._history = settings.history
        self._retention = settings.retention
        self._now = settings.clocks.now
        self._monotonic = settings.clocks.monotonic
        self._offset = self._now() - self._monotonic()
        self._log = log
        self._is_running = is_running

    async def tidy(self) -> None:
        """Remove what an earlier server left of jobs that have ended."""
        for job in await asyncio.to_thread(self._archives.jobs):
            record = await self._log.job(job)
            if record is not None and (not record.status.ended or self._is_running(record.id)):
                continue
            if record is not None and record.status is Status.COMPLETED and not self._is_over(record):
                await asyncio.to_thread(self._archives.settle, job)
            else:
                await asyncio.to_thread(self._archives.remove, job)

    async def sweep(self) -> float | None:
        """Remove archives whose time is over, and jobs that ended long ago.

        Returns the seconds until the next archive's time is over, None if there is none.
        """
        kept = await self._reckoned(await self._log.archives())
        total = sum(archive.size for archive in kept)
        for number, archive in enumerate(kept, 1):
            # The newest is somebody's next download, however large it is.
            too_many = self._limit is not None and total > self._limit and number < len(kept)
            if too_many or archive.expires <= self._now():
                await self._retire(archive)
                total -= archive.size
        await self._log.forget(self._now() - self._history)
        left = [archive.expires for archive in kept if archive.expires > self._now()]
        return min(left) - self._now() if left else None

    async def _retire(self, archive: KeptArchive) -> None:
        try:
            # In this order: nobody is told of an archive that is not there.
            await self._log.retire(archive.job, self._now())
        except LogFullError:
            # Noting it takes room, which only its going makes.
            await asyncio.to_thread(self._archives.remove, archive.job)
            await self._log.retire(archive.job, self._now())
        await asyncio.to_thread(self._archives.remove, archive.job)

    async def wait(self, seconds: float, news: asyncio.Event) -> None:
        """Return after so many seconds, when there is news, or soon after the clock was set."""
        while seconds > 0 and abs(self._was_set_by()) < _SET:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, _LOOK)):
                    await news.wait()
                    return
            seconds -= _LOOK

    def _was_set_by(self) -> float:
        return self._now() - self._monotonic() - self._offset

    async def _reckoned(self, kept: Sequence[KeptArchive]) -> list[KeptArchive]:
        """Return them with the times that are right by the clock as it is now."""
        now, was_set_by = self._now(), self._was_set_by()
        if abs(was_set_by) < _SET:
            was_set_by = 0
        else:
            logger.warning("The clock was set by %+.0f s", was_set_by)
        latest = now + self._retention
        reckoned = []
        for archive in kept:
            # One made since then is late enough already.
            is_before = was_set_by > 0 and archive.expires <= latest - was_set_by
            expires = archive.expires + was_set_by if is_before else archive.expires
            reckoned.append(replace(archive, expires=latest if expires > latest + _SET else expires))
        times = {one.job: one.expires for was, one in zip(kept, reckoned, strict=True) if one != was}
        if times:
            await self._log.keep_until(times)
        self._offset += was_set_by
        return reckoned

    def _is_over(self, record: JobRecord) -> bool:
        return record.archive is None or record.archive.expires <= self._now()
