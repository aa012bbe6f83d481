"""One making of a job's archive, with the ledger beside it, on a thread of its own.

A making goes on over restarts of the server as long as no byte that somebody may have read is lost: where something
must be cut off behind the last line of the ledger that holds, or nothing holds, the making gets another name (the
archive's ETag) first. Parts that are ours are removed once their step stands in the ledger.
"""

import asyncio
import contextlib
import errno
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from exportctl.server.archive import ArchiveWriter, NotThatArchiveError, Sealed
from exportctl.server.export.opening import open_within
from exportctl.server.export.outcome import Entry, Outcome
from exportctl.server.files import JobFiles
from exportctl.server.growth import Growth, sync_file
from exportctl.server.ledger import Done, Ledger, Past, read_past

T = TypeVar("T")

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ESTALE}
"""What one file of a project may be that is not there any more; whatever else is wrong may be so with the archive."""


class Making:
    """The archive of one job. `open` first, `close` last; then nothing of it writes any more.

    `made` (Unix seconds) is the time of its entries; `work` counts the seconds the job was worked on by this server.
    """

    def __init__(self, files: JobFiles, *, made: float, work: Callable[[], float]) -> None:
        self._files = files
        self._made = made
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._archive: ArchiveWriter | None = None
        self._ledger: Ledger | None = None
        self._growth: Growth | None = None
        self.past = Past()
        self.seconds: dict[str, float] = defaultdict(float)
        self.warnings: list[str] = []

    @property
    def size(self) -> int:
        """Bytes of the archive so far."""
        return self.past.size if self._archive is None else self._archive.size

    @property
    def elapsed(self) -> float:
        """Seconds the job was worked on, by this server and those before."""
        return self.past.elapsed + self._work()

    async def sealed(self) -> Sealed | None:
        """Return the archive an earlier server finished, if it did, and keep what its ledger says in `past`."""
        found = await self._do(self._find_sealed)
        if found is not None:
            self._remember(found)
            return Sealed(size=found.size, sha256=found.sha256)
        return None

    async def open(self, rename: Callable[[], Awaitable[None]]) -> None:
        """Go on with what an earlier server left, or begin.

        `rename` is awaited before bytes are taken back that somebody may have read.
        """
        left, past = await self._do(self._look)
        if left is not None:
            if past.size != left:
                await rename()
            try:
                await self._do(lambda: self._go_on(past))
            except NotThatArchiveError:
                if past.size == left:
                    await rename()
            else:
                self._remember(past)
                return
        await self._do(self._begin)

    def show(self, growth: Growth) -> None:
        """Have those who read along told of what is there, and of what comes."""
        growth.begin(self._files.archive, self.size)
        self._growth = growth

    async def take(self, step: int, outcome: Outcome) -> None:
        """Put what a step made into the archive, and the step into the ledger."""

        def work() -> Done:
            archive = self._opened()
            begin = time.perf_counter()
            gone = [warning for entry in outcome.entries if (warning := _append(archive, entry))]
            seconds = {**outcome.seconds, "compression": time.perf_counter() - begin}
            done = self._done(step, (*outcome.warnings, *gone), seconds)
            for entry in outcome.entries:
                if entry.owned and entry.file is not None:
                    Path(entry.file).unlink(missing_ok=True)
            return done

        self._count(await self._do(work))

    async def seal(self, step: int, totals: Mapping[str, int]) -> Sealed:
        """Finish the archive."""

        def work() -> tuple[Sealed, Done]:
            begin = time.perf_counter()
            sealed = self._opened().seal()
            seconds = {"compression": time.perf_counter() - begin}
            return sealed, self._done(step, (), seconds, totals)

        sealed, done = await self._do(work)
        self._count(done)
        self._grown(sealed.size, is_durable=True)
        return sealed

    def stop(self) -> None:
        """Let a long entry end soon, half-written: nobody wants the archive any more."""
        if self._archive is not None:
            self._archive.stop()

    async def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._thread.shutdown)
        if self._archive is not None:
            self._archive.abandon()
            # It knows of this one, and this one of it: the room it has for images would be kept for a long time.
            self._archive = None
        if self._ledger is not None:
            # Nothing of it is buffered: what a disk says of that does not matter any more.
            with contextlib.suppress(OSError):
                self._ledger.close()

    def _grown(self, size: int, *, is_durable: bool = False) -> None:
        if self._growth is not None:
            self._growth.grown(self._files.archive, size, is_durable=is_durable)

    def _remember(self, past: Past) -> None:
        self.past = past
        self.warnings = [*past.warnings]
        self.seconds.update(past.seconds)

    def _count(self, done: Done) -> None:
        self.warnings += done.warnings
        for stage, seconds in done.seconds.items():
            self.seconds[stage] += seconds

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # Everything below runs on the thread.

    def _look(self) -> tuple[int | None, Past]:
        try:
            left = self._files.archive.stat().st_size
        except FileNotFoundError:
            return None, Past()
        return left, read_past(self._files.ledger, left)

    def _find_sealed(self) -> Past | None:
        left, past = self._look()
        if not past.sealed or past.size != left:
            return None
        with self._files.archive.open("rb") as file:
            return past if hashlib.file_digest(file, "sha256").hexdigest() == past.sha256 else None

    def _go_on(self, past: Past) -> None:
        if past.sealed or not past.steps:
            raise NotThatArchiveError
        # Kept here, on the thread: whoever waits for it may be cancelled, and `close` must find it all the same.
        self._archive = self._writer(begun=True)
        try:
            self._archive.take_up(past.size, past.sha256)
        except NotThatArchiveError:
            self._archive.abandon()
            raise
        self._ledger = Ledger(self._files.ledger, past.length)

    def _begin(self) -> None:
        self._files.archive.unlink(missing_ok=True)
        self._archive = self._writer(begun=False)
        # What is told durable of it is durable only where its name is.
        for folder in (self._files.folder, self._files.folder.parent):
            sync_file(folder)
        self._ledger = Ledger(self._files.ledger, 0)

    def _writer(self, *, begun: bool) -> ArchiveWriter:
        return ArchiveWriter(self._files.archive, self._made, begun=begun, on_growth=self._grown)

    def _opened(self) -> ArchiveWriter:
        if self._archive is None:
            raise RuntimeError("The archive is not open")
        return self._archive

    def _done(
        self, step: int, warnings: tuple[str, ...], seconds: dict[str, float], totals: Mapping[str, int] | None = None
    ) -> Done:
        """Write the step into the ledger."""
        archive = self._opened()
        done = Done(
            step=step,
            size=archive.size,
            sha256=archive.digest,
            elapsed=self.elapsed,
            warnings=warnings,
            seconds=seconds,
            totals=totals or {},
            sealed=totals is not None,
        )
        if self._ledger is not None:
            self._ledger.write(done)
        return done


def _append(archive: ArchiveWriter, entry: Entry) -> str | None:
    """Append one entry; returns a warning if its source is gone."""
    if entry.data is not None:
        archive.append(entry.name, entry.data, entry.unpacked)
        return None
    try:
        opener = None if entry.owned else lambda path, _flags: open_within(entry.within, path)
        archive.append_file(entry.name, Path(entry.file or ""), entry.unpacked, opener=opener)
    except OSError as error:
        if entry.owned or error.errno not in _GONE:
            raise
        return f"{entry.name}: the file is gone or cannot be read any more"
    return None
