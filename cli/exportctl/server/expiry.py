"""What is kept on disk, and until when: archives go by age, and the oldest first where all together are too large.

Their jobs stay known for longer, but not for ever. Folders that belong to nobody, which a server leaves that dies
between two words, go too.
"""

import asyncio
from collections.abc import Callable

from exportctl.server.files import JobFiles, remove
from exportctl.server.job import JobRecord, Status
from exportctl.server.log import EventLog
from exportctl.server.settings import Settings


class Expiry:
    """Removes what has had its time. `is_running` says whether a job is queued or worked on here."""

    def __init__(self, settings: Settings, log: EventLog, is_running: Callable[[str], bool]) -> None:
        self._jobs = settings.state / "jobs"
        self._limit = settings.archives_limit
        self._history = settings.history
        self._now = settings.clocks.now
        self._log = log
        self._is_running = is_running

    async def tidy(self) -> None:
        """Remove what an earlier server left of jobs that have ended."""
        for folder in await asyncio.to_thread(lambda: sorted(self._jobs.iterdir())):
            record = await self._log.job(folder.name)
            if record is not None and (not record.status.ended or self._is_running(record.id)):
                continue
            if record is not None and record.status is Status.COMPLETED and not self._is_over(record):
                await asyncio.to_thread(JobFiles(folder=folder).settle)
            else:
                await asyncio.to_thread(remove, folder)

    async def sweep(self) -> float | None:
        """Remove archives whose time is over, and jobs that ended long ago.

        Returns the seconds until the next archive's time is over, None if there is none.
        """
        kept = await self._log.archives()
        total = sum(archive.size for archive in kept)
        for number, archive in enumerate(kept, 1):
            # The newest is somebody's next download, however large it is.
            too_many = self._limit is not None and total > self._limit and number < len(kept)
            if too_many or archive.expires <= self._now():
                # In this order: nobody is told of an archive that is not there.
                await self._log.retire(archive.job, self._now())
                await asyncio.to_thread(remove, self._jobs / archive.job)
                total -= archive.size
        await self._log.forget(self._now() - self._history)
        left = [archive.expires for archive in kept if archive.expires > self._now()]
        return min(left) - self._now() if left else None

    def _is_over(self, record: JobRecord) -> bool:
        return record.archive is None or record.archive.expires <= self._now()
