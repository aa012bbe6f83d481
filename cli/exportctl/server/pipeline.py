"""One job from its folder to its sealed archive.

The plan first, then every step the export asks for, side by side on the pool; what a step made is appended to the
archive as it comes, then the README, then the central directory. At most `window` steps are out at once, so memory is
flat whatever the number of images. A fault of one image is a warning; what ends the job is a `JobFailedError`, in the
user's words and without a path of this machine.
"""

import asyncio
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from exportctl.server.archive import ArchiveThread, ArchiveWriter, Sealed
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.tasks import (
    Entry,
    Outcome,
    Plan,
    Step,
    image_task,
    plan_export,
    readme_task,
    stage_totals,
    steps,
)
from exportctl.server.failures import failure_of, told_to_users
from exportctl.server.files import JobFiles
from exportctl.server.growth import Growth
from exportctl.server.job import EventName, Status
from exportctl.server.journal import Journal
from exportctl.server.pool import Pool, WorkerDiedError
from exportctl.server.progress import Reporter, Tally
from exportctl.server.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A good end: the archive, and where the time went (seconds)."""

    sealed: Sealed
    warnings: tuple[str, ...]
    seconds: float
    stages: dict[str, float]


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """Run one job once. After `run` ended, however, `close`; then nothing of it writes any more."""

    settings: Settings
    pool: Pool
    journal: Journal
    files: JobFiles
    folder: Path
    options: ExportOptions
    growth: Growth
    _thread: ArchiveThread = field(default_factory=ArchiveThread)
    _archive: ArchiveWriter | None = None
    _warnings: list[str] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def run(self) -> Made:
        """Make the archive; raises JobFailedError."""
        began = self.settings.clocks.monotonic()
        record = self.journal.record
        with told_to_users():
            plan = await self._pool(plan_export, str(self.folder), str(self.files.plan), self.options)
        self._warn(plan.warnings)
        await self.journal.tell(
            EventName.STARTED,
            {
                "projectName": record.project_name,
                "options": record.options,
                "phase": "processing",
                "total": plan.count,
                "cancellable": True,
                "message": "Export started",
                "template": "export.status.started",
                "data": {},
            },
            status=Status.PROCESSING,
            message="Export started",
        )
        with told_to_users():
            archive = await self._thread.run(self._open_archive)
            sealed = await self._work(plan, archive)
        return Made(
            sealed=sealed,
            warnings=tuple(self._warnings),
            seconds=round(self.settings.clocks.monotonic() - began, 3),
            stages={stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
        )

    async def close(self) -> None:
        """Take back what is still to be done, and wait until nothing runs or writes any more."""
        if self._archive is not None:
            self._archive.stop()
        await self.pool.cancel(self.journal.record.id)
        await self._thread.close()
        if self._archive is not None:
            self._archive.abandon()
        self.growth.cut()

    def _open_archive(self) -> ArchiveWriter:
        # Kept here, on the thread: whoever waits for it may be cancelled, and `close` must find it all the same.
        self._archive = ArchiveWriter(
            self.files.archive,
            self.files.parts,
            self.journal.record.created,
            on_growth=functools.partial(self.growth.grown, self.files.archive),
        )
        return self._archive

    async def _work(self, plan: Plan, archive: ArchiveWriter) -> Sealed:
        # The README and the central directory are the compression's two steps: the rest was packed as it came.
        totals = {**stage_totals(plan, self.options), "compression": 2}
        reporter = Reporter(
            self.journal,
            Tally(totals, self.settings.clocks.monotonic()),
            interval=self.settings.coalesce,
            clock=self.settings.clocks.monotonic,
            written=lambda: archive.size,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(reporter.tell())
                await self._steps(plan, archive, reporter)
                sealed = await self._finish(plan, archive, reporter)
                reporter.close()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return sealed

    async def _steps(self, plan: Plan, archive: ArchiveWriter, reporter: Reporter) -> None:
        """Have all steps done, `window` of them out at once; raises the first failure alone."""
        window = asyncio.Semaphore(self.pool.slots + self.pool.workers)
        groups: dict[str, set[asyncio.Task[None]]] = defaultdict(set)

        async def held(step: Step, before: list[asyncio.Task[None]]) -> None:
            if before:
                await asyncio.wait(before)
            async with window:
                await self._step(step, archive, reporter)

        async def begun(step: Step) -> None:
            try:
                await self._step(step, archive, reporter)
            finally:
                window.release()

        try:
            async with asyncio.TaskGroup() as group:
                for step in steps(plan, self.options, str(self.files.parts)):
                    if step.after is not None:
                        # All steps it waits for came before it (`Step.after`), so their tasks are known.
                        task = group.create_task(held(step, list(groups[step.after])))
                    else:
                        await window.acquire()
                        task = group.create_task(begun(step))
                    groups[step.group].add(task)
                    task.add_done_callback(groups[step.group].discard)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _step(self, step: Step, archive: ArchiveWriter, reporter: Reporter) -> None:
        stage = step.stages[-1]
        item = ""
        try:
            outcome = await self._pool(step.call, *step.args)
        except WorkerDiedError as death:
            if step.call is not image_task:
                raise failure_of(death, stage) from death
            item = await self._name_of(*step.args[:2])
            self._warn([f"{item}: its worker process died twice; perhaps the image is too large for the memory here"])
        except Exception as error:
            raise failure_of(error, stage) from error
        else:
            item = outcome.item
            await self._take(outcome, archive, stage)
        for name in step.stages:
            reporter.advance(name, step.images, item)

    async def _finish(self, plan: Plan, archive: ArchiveWriter, reporter: Reporter) -> Sealed:
        if self.options.documentation:
            name = self.journal.record.project_name
            with told_to_users("compression"):
                readme = await self._pool(
                    readme_task, plan, self.options, name, tuple(self._warnings), str(self.files.parts)
                )
            await self._take(readme, archive, "compression")
        reporter.advance("compression", 1, "README.md")
        begin = time.perf_counter()
        with told_to_users("compression"):
            sealed = await self._thread.run(archive.seal)
        self.growth.grown(self.files.archive, sealed.size, is_durable=True)
        self._seconds["compression"] += time.perf_counter() - begin
        reporter.advance("compression", 1, "archive")
        return sealed

    async def _name_of(self, plan: object, index: object) -> str:
        try:
            return await self._pool(_title_of, plan, index)
        except WorkerDiedError:
            return f"image {index}"

    async def _pool(self, work: Callable[..., T], *args: object) -> T:
        return await self.pool.run(self.journal.record.id, self.files.gate, work, *args)

    async def _take(self, outcome: Outcome, archive: ArchiveWriter, stage: str) -> None:
        """Put what a task made into the archive."""
        self._warn(outcome.warnings)
        for name, seconds in outcome.seconds.items():
            self._seconds[name] += seconds

        def append() -> tuple[list[str], float]:
            begin = time.perf_counter()
            gone = [warning for entry in outcome.entries if (warning := _append(archive, entry))]
            return gone, time.perf_counter() - begin

        with told_to_users(stage, outcome.item):
            gone, seconds = await self._thread.run(append)
        self._seconds["compression"] += seconds
        self._warn(gone)

    def _warn(self, warnings: Iterable[str]) -> None:
        # A path of this machine is nobody's business.
        here = f"{self.folder}/"
        self._warnings += [warning.replace(here, "") for warning in warnings]


def _title_of(plan: Plan, index: int) -> str:
    """Name an image as users know it; runs in a worker."""
    from exportctl.server.export.planfile import read_image  # noqa: PLC0415 - image libraries belong to the worker

    return read_image(plan.file, index).title


def _append(archive: ArchiveWriter, entry: Entry) -> str | None:
    """Append one entry; returns a warning if its source is gone."""
    if entry.data is not None:
        archive.append(entry.name, entry.data, deflate=entry.deflate)
        return None
    path = Path(entry.file or "")
    try:
        archive.append_file(entry.name, path, deflate=entry.deflate)
    except (FileNotFoundError, PermissionError):
        if entry.owned:
            raise
        return f"{entry.name}: the file is gone or cannot be read any more"
    if entry.owned:
        path.unlink()
    return None
