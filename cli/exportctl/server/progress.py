"""A job's numbers, and what is told of them.

`Tally` owns the numbers: it counts images by stage and weighs the stages into one progress that never falls. `Reporter`
tells them: at most one event an interval, the stages taking turns, and the last state of every stage always. Whoever
counts never waits for the telling: a flood of finished tasks costs no events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exportctl.server import bodies
from exportctl.server.job import EventName
from exportctl.server.journal import Journal

WEIGHTS = {"images": 15, "visualizations": 50, "annotations": 10, "metrics": 20, "compression": 5}
"""Of 100, where every stage is wanted."""

TEXTS = {
    "images": "Copying original images",
    "visualizations": "Generating visualizations",
    "annotations": "Creating annotation files",
    "metrics": "Calculating metrics",
    "compression": "Compressing archive",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """How far one stage is, what it worked on last ('' if that has no name), and the whole job's progress by then."""

    stage: str
    current: int
    total: int
    item: str
    progress: float

    @property
    def done(self) -> bool:
        """True for a stage's last state."""
        return self.current >= self.total

    def to_wire(self) -> bodies.StageProgress:
        """Spell it as `stageProgress`."""
        item = self.item or None
        return {"current": self.current, "total": self.total, "item": item, "currentItem": item}

    def data(self) -> dict[str, Any]:
        """Return what the template `export.stage.*` needs."""
        return {"current": self.current, "total": self.total, "fileName": self.item}

    def message(self) -> str:
        """Say it in English."""
        counted = f"{TEXTS[self.stage]} ({self.current}/{self.total})"
        return f"{counted}: {self.item}" if self.item else counted


@dataclass(slots=True)
class Tally:
    """Count what is done. `totals`: images by stage, of the stages of this job.

    `highest`: the progress that clients know of already, in a job that is taken up.
    """

    totals: Mapping[str, int]
    highest: float = 0
    _counts: dict[str, int] = field(default_factory=dict)

    def advance(self, stage: str, images: int, item: str) -> StageState:
        """Count images of a stage as done."""
        total = self.totals[stage]
        count = self._counts[stage] = min(self._counts.get(stage, 0) + images, total)
        return StageState(stage=stage, current=count, total=total, item=item, progress=self.progress())

    def progress(self) -> float:
        """Weigh the stages into 0 … 100."""
        weights = {stage: WEIGHTS[stage] for stage in self.totals}
        done = sum(weight * self._counts.get(stage, 0) / self.totals[stage] for stage, weight in weights.items())
        self.highest = max(self.highest, round(100 * done / sum(weights.values()), 2))
        return self.highest


class Reporter:
    """Tell a job's progress to its journal. Run `tell` as a task; call `close` to have the rest told and `tell` end.

    `left` gives the seconds left, None while they are not known; `written` the bytes of the archive.
    """

    def __init__(
        self,
        journal: Journal,
        tally: Tally,
        *,
        interval: float,
        left: Callable[[], float | None],
        written: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._tally = tally
        self._interval = interval
        self._left = left
        self._written = written
        self._sleep = sleep
        self._news = asyncio.Event()
        self._latest: dict[str, StageState] = {}
        self._last: list[StageState] = []
        self._told = tally.highest
        self._closed = False

    def advance(self, stage: str, images: int, item: str) -> None:
        """Count images of a stage as done, and have it told when it is time; a step that counts none is not told."""
        if not images:
            return
        state = self._tally.advance(stage, images, item)
        if state.done:
            self._latest.pop(stage, None)
            self._last.append(state)
        else:
            # A stage that waits already keeps its place in the line.
            self._latest[stage] = state
        self._news.set()

    def close(self) -> None:
        """Let `tell` end as soon as all is told."""
        self._closed = True
        self._news.set()

    async def tell(self) -> None:
        """Log progress events until closed."""
        while True:
            await self._news.wait()
            while self._last:
                await self._event(self._last.pop(0))
            if self._latest:
                await self._event(self._latest.pop(next(iter(self._latest))))
            if self._closed and not self._last:
                return
            if not self._latest and not self._last:
                self._news.clear()
            if not self._closed:
                await self._sleep(self._interval)

    async def _event(self, state: StageState) -> None:
        # A state that waited may be told behind a later one of another stage.
        progress = self._told = max(self._told, state.progress)
        left, message = self._left(), state.message()
        eta = None if left is None else round(left, 1)
        data = {
            "phase": "processing",
            "stage": state.stage,
            "progress": progress,
            "stageProgress": state.to_wire(),
            "message": message,
            "template": f"export.stage.{state.stage}",
            "data": state.data(),
            "estimatedTimeRemaining": eta,
            "bytesWritten": self._written(),
        }
        await self._journal.tell(
            EventName.PROGRESS,
            data,
            stage=state.stage,
            stage_progress=state.to_wire(),
            progress=progress,
            message=message,
            eta=eta,
        )
