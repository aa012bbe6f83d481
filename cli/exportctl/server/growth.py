"""An archive while it is made, as those see it who read along: how much of it is on disk for good, and how it ended.

The file only grows. What a reader is told of has been synced: a client may go on behind it after any crash of this
machine. Syncs are shared by all readers of a job and come one after another, `GAP` apart at least, each for all that
was written meanwhile. Where nobody reads along, they come for every `BEHIND` bytes, so that the last one is short on a
slow disk too.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from exportctl.server.job import JobRecord, Status

GAP: Final = 0.05
"""Seconds between two syncs: on ext4 one of a few megabytes takes 5 to 20 ms (tests/bench/live.py)."""

BEHIND: Final = 1 << 26
"""Bytes."""


class LostError(Exception):
    """There will be no archive: the job failed, was cancelled, or this server stops. The connection is cut."""


class Growth:
    """One archive. From the event loop's thread, but for `grown`."""

    def __init__(self, sync: Callable[[Path], None] | None = None) -> None:
        self._sync = sync or sync_file
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._readers = 0
        self._is_over = self._is_lost = False
        self.path: Path | None = None
        self.written = 0
        self.durable = 0

    @classmethod
    def whole(cls, size: int) -> Self:
        """Return one that is finished."""
        growth = cls()
        growth.written, growth.durable, growth._is_over = size, size, True
        return growth

    def begin(self, path: Path, size: int) -> None:
        """Note what is there already, before anybody asks: an earlier server wrote it."""
        self.path, self.written = path, size

    def grown(self, path: Path, size: int, *, is_durable: bool = False) -> None:
        """Note that the file at `path` holds `size` bytes now. From any thread."""
        self._loop.call_soon_threadsafe(self._take, path, size, is_durable)

    def finish(self) -> None:
        """Note that the archive is whole and the job's good end is told."""
        self._is_over = True
        self._end()

    def cut(self) -> None:
        """Note that there will be no archive; nothing after `finish`."""
        self._is_lost = not self._is_over
        self._end()

    async def beyond(self, offset: int) -> int:
        """Wait until more than `offset` bytes are durable and return how many are; `offset` itself at the end.

        Raises LostError.
        """
        self._readers += 1
        try:
            while True:
                if self._is_lost:
                    raise LostError
                if self.durable > offset or self._is_over:
                    return max(self.durable, offset)
                self._keep_syncing()
                news = self._news
                await news.wait()
        finally:
            self._readers -= 1

    async def lost(self) -> None:
        """Return when there will be no archive; never for one that is made."""
        while not self._is_lost:
            news = self._news
            await news.wait()

    def _take(self, path: Path, size: int, is_durable: bool) -> None:  # noqa: FBT001 - call_soon takes no keywords
        self.path, self.written = path, size
        if is_durable:
            self.durable = size
            self._tell()
        elif self._is_behind():
            self._keep_syncing()

    def _end(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _is_behind(self) -> bool:
        return self.written - self.durable >= (1 if self._readers else BEHIND)

    def _keep_syncing(self) -> None:
        if self._syncing is None and self.written > self.durable and self.path is not None:
            self._syncing = asyncio.create_task(self._sync_on(self.path))

    async def _sync_on(self, path: Path) -> None:
        """Sync for as long as somebody waits for what is not durable yet, or much is not."""
        try:
            while self._is_behind():
                size = self.written
                await asyncio.to_thread(self._sync, path)
                self.durable = max(self.durable, size)
                self._tell()
                await asyncio.sleep(GAP)
        except OSError:
            # The disk has failed, or the file is gone with its job.
            self.cut()
        finally:
            self._syncing = None


class Growths:
    """The archives that are being made here, by job."""

    def __init__(self) -> None:
        self._by_job: dict[str, Growth] = {}

    def of(self, job_id: str) -> Growth:
        """Return that of a job that is queued or worked on here."""
        return self._by_job.setdefault(job_id, Growth())

    def find(self, job_id: str) -> Growth | None:
        """Return that of a job, None where it is not being made here."""
        return self._by_job.get(job_id)

    def note(self, record: JobRecord) -> None:
        """Take note of a job that is made, or has ended."""
        growth = self.of(record.id)
        if not record.status.ended:
            return
        del self._by_job[record.id]
        if record.status is Status.COMPLETED:
            growth.finish()
        else:
            growth.cut()


def sync_file(path: Path) -> None:
    """Have all that was written to a file, or the names in a folder, on disk for good. Blocks."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
