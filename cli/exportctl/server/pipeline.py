"""One job from its folder to its sealed archive, begun or taken up again.

The plan first, then every step the export asks for, side by side on the pool; what a step made is appended to the
archive as it comes, then the README, then the central directory. At most `window` steps are out at once, so memory is
flat whatever the number of images. A fault of one image is a warning; what ends the job is a `JobFailedError`, in the
user's words and without a path of this machine.

A job that an earlier server began keeps its plan and the steps its ledger bears out; the others are run. `started` is
told once, and progress goes on from what was told.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from exportctl.server.archive import Sealed
from exportctl.server.export.effort import efforts
from exportctl.server.export.errors import ProjectError
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.outcome import Outcome, is_left
from exportctl.server.export.tasks import (
    Plan,
    Step,
    image_task,
    plan_export,
    readme_task,
    reopen_plan,
    stage_totals,
    steps,
    undrawn_task,
)
from exportctl.server.failures import failure_of, reason_of, told_to_users
from exportctl.server.files import JobFiles
from exportctl.server.forecast import Forecast
from exportctl.server.growth import Growths
from exportctl.server.job import EventName, Status
from exportctl.server.journal import Journal
from exportctl.server.making import Making
from exportctl.server.pool import Pool, Share, TaskTooLongError, WorkerDiedError
from exportctl.server.progress import Reporter, Tally
from exportctl.server.settings import Settings

T = TypeVar("T")

_READING = 0
"""The number of the reading in the ledger; the steps count from 1."""
_WHOLE = 16
"""So many times as long as the work on one image may that on many take: reading the project, a slice, a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A good end: the archive, and where the time went (seconds)."""

    sealed: Sealed
    warnings: tuple[str, ...]
    seconds: float
    stages: dict[str, float]


class Pipeline:
    """Run one job once. After `run` ended, however, `close`; then nothing of it writes any more.

    Closing ends a long entry half-written where the archive is `unwanted`.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        pool: Pool,
        journal: Journal,
        files: JobFiles,
        folder: Path,
        options: ExportOptions,
        growths: Growths,
    ) -> None:
        self._settings = settings
        self._shared = pool
        self._journal = journal
        self._files = files
        self._share = Share(user=journal.record.user, job=journal.record.id, gate=files.gate)
        self._folder = folder
        self._options = options
        self._growths = growths
        self._steps_done = 0
        self._clock = settings.clocks.monotonic
        clock, began = self._clock, self._clock()
        # Not by way of this object, which would be its own in a circle: what it holds would be kept for a long time.
        self._making = Making(files, made=journal.record.created, work=lambda: clock() - began)

    async def run(self) -> Made:
        """Make the archive; raises JobFailedError."""
        taken_up = self._journal.record.status is Status.PROCESSING
        with told_to_users():
            sealed = await self._making.sealed() if taken_up else None
            if sealed is None and self._journal.record.phase != "processing":
                raise ProjectError("SERVER_RESTARTED", "the server was restarted, and the archive it had made is lost")
            if sealed is None:
                sealed = await self._make(taken_up=taken_up)
            elif self._journal.record.phase == "processing":
                await self._tell_all_done(self._making.past.totals)
        return Made(
            sealed=sealed,
            warnings=tuple(self._making.warnings),
            seconds=round(self._making.elapsed, 3),
            stages={stage: round(seconds, 3) for stage, seconds in self._making.seconds.items()},
        )

    async def close(self, *, unwanted: bool) -> None:
        """Take back what is still to be done, and wait until nothing runs or writes any more."""
        if unwanted:
            self._making.stop()
        await self._shared.cancel(self._share)
        await self._making.close()
        growth = self._growths.find(self._journal.record.id)
        if growth is not None:
            growth.cut()

    async def _make(self, *, taken_up: bool) -> Sealed:
        place = (str(self._folder), str(self._files.plan), self._options, self._settings.limits)
        plan = await self._pool(reopen_plan, *place) if taken_up else None
        if plan is None:
            self._files.forget()
            plan = await self._pool(plan_export, *place)
        if not taken_up:
            await self._tell_started(plan.count)
        await self._making.open(self._rename)
        # Not before it is known how much is there: until then whoever reads along is asked to wait.
        self._making.show(self._growths.of(self._journal.record.id))
        if _READING not in self._making.past.steps:
            await self._take(_READING, Outcome(warnings=plan.warnings), "compression")
        return await self._work(plan)

    async def _rename(self) -> None:
        """Have clients know the archive by another name: it will have other bytes."""
        await self._journal.note(making=self._settings.new_id())

    async def _tell_started(self, total: int) -> None:
        record = self._journal.record
        await self._journal.tell(
            EventName.STARTED,
            {
                "projectName": record.project_name,
                "options": record.options,
                "phase": "processing",
                "total": total,
                "cancellable": True,
                "message": "Export started",
                "template": "export.status.started",
                "data": {},
            },
            status=Status.PROCESSING,
            message="Export started",
        )

    def _reporter(self, totals: Mapping[str, int], left: Callable[[], float | None]) -> Reporter:
        return Reporter(
            self._journal,
            Tally(totals, self._journal.record.progress),
            interval=self._settings.coalesce,
            left=left,
            written=lambda: self._making.size,
        )

    async def _tell_all_done(self, totals: Mapping[str, int]) -> None:
        """Tell the last state of every stage: the server died before, or while, it was told."""
        reporter = self._reporter(totals, lambda: None)
        for stage, total in totals.items():
            reporter.advance(stage, total, "")
        reporter.close()
        await reporter.tell()

    async def _work(self, plan: Plan) -> Sealed:
        # The README and the central directory are the compression's two steps: the rest was packed as it came.
        totals = {**stage_totals(plan, self._options), "compression": 2}
        hands, whole = self._shared.workers, efforts(plan, self._options)
        forecast = Forecast(began=self._clock(), hands=hands, efforts=whole)
        reporter = self._reporter(totals, lambda: forecast.left(self._clock()))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(reporter.tell())
                count = await self._steps(plan, reporter, forecast)
                sealed = await self._finish(plan, count, reporter, totals)
                reporter.close()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return sealed

    async def _steps(self, plan: Plan, reporter: Reporter, forecast: Forecast) -> int:
        """Have all steps done, `window` of them out at once; returns their number; raises the first failure alone."""
        window = asyncio.Semaphore(self._shared.slots + self._shared.workers)
        groups: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        number = 0

        async def held(number: int, step: Step, before: list[asyncio.Task[None]]) -> None:
            if before:
                await asyncio.wait(before)
            async with window:
                await self._step(number, step, reporter, forecast)

        async def begun(number: int, step: Step) -> None:
            try:
                await self._step(number, step, reporter, forecast)
            finally:
                window.release()

        try:
            async with asyncio.TaskGroup() as group:
                for step in steps(plan, self._options, str(self._files.parts)):
                    number += 1
                    if self._is_done(number, step):
                        self._steps_done += 1
                        forecast.skip(step.group, step.effort)
                        for stage in step.stages:
                            reporter.advance(stage, step.images, "")
                        continue
                    if step.after is not None:
                        # All steps it waits for came before it (`Step.after`), so their tasks are known.
                        task = group.create_task(held(number, step, list(groups[step.after])))
                    else:
                        await window.acquire()
                        task = group.create_task(begun(number, step))
                    groups[step.group].add(task)
                    task.add_done_callback(groups[step.group].discard)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self._steps_done != number:
            # A task group passes over tasks that were cancelled, as those of a pool that closes are.
            raise RuntimeError("Steps were left out")
        return number

    def _is_done(self, number: int, step: Step) -> bool:
        """Say whether an earlier server did this step, and what it left for others is there."""
        return number in self._making.past.steps and (step.leaves is None or is_left(step.leaves))

    async def _step(self, number: int, step: Step, reporter: Reporter, forecast: Forecast) -> None:
        stage = step.stages[-1]
        forecast.begin(self._clock(), number, step.group, step.effort)
        try:
            outcome = await self._pool(step.call, *step.args)
        except (WorkerDiedError, TaskTooLongError) as end:
            if step.call is not image_task:
                raise failure_of(end, stage) from end
            outcome = await self._pool(undrawn_task, *step.args, reason_of(end))
        except Exception as error:
            raise failure_of(error, stage) from error
        await self._take(number, outcome, stage)
        self._steps_done += 1
        forecast.end(self._clock(), number, outcome.effort)
        for name in step.stages:
            reporter.advance(name, step.images, outcome.item)

    async def _finish(self, plan: Plan, count: int, reporter: Reporter, totals: Mapping[str, int]) -> Sealed:
        """Write the README, as the step behind the last one, and seal the archive."""
        number = count + 1
        if self._options.documentation and number not in self._making.past.steps:
            name = self._journal.record.project_name
            warnings = tuple(self._making.warnings)
            with told_to_users("compression"):
                readme = await self._pool(readme_task, plan, self._options, name, warnings, str(self._files.parts))
            await self._take(number, readme, "compression")
        reporter.advance("compression", 1, "README.md")
        with told_to_users("compression"):
            sealed = await self._making.seal(number + 1, totals)
        reporter.advance("compression", 1, "archive")
        return sealed

    async def _pool(self, work: Callable[..., T], *args: object) -> T:
        limit = self._settings.image_seconds * (1 if work is image_task else _WHOLE)
        return await self._shared.run(self._share, work, *args, limit=limit)

    async def _take(self, number: int, outcome: Outcome, stage: str) -> None:
        """Put what a task made into the archive."""
        with told_to_users(stage, outcome.item):
            await self._making.take(number, replace(outcome, warnings=self._shown(outcome.warnings)))

    def _shown(self, warnings: Iterable[str]) -> tuple[str, ...]:
        # A path of this machine is nobody's business.
        here = f"{self._folder}/"
        return tuple(warning.replace(here, "") for warning in warnings)
