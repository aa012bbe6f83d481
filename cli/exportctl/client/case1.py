"""One job that is followed over protocol 1: what was told of it, and what is not known yet."""

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from exportctl.client.watch import Watch
from exportctl.model.eta import Estimate, wanted_of
from exportctl.protocol.dialects.story1 import Story
from exportctl.protocol.events import Progress


@dataclass(slots=True, kw_only=True, eq=False)
class Case:
    """One job: what was told of it, what was heard of its end, when it is looked at next."""

    watch: Watch
    story: Story
    since: float
    look: asyncio.Event = field(default_factory=asyncio.Event)
    may_cancel: asyncio.Event = field(default_factory=asyncio.Event)
    is_new_way: bool = True
    is_closing: bool = False
    rest: float | None = None
    doubts: int = 0
    failing_since: float | None = None
    missing: int = 0
    estimate: Estimate

    def estimated(self, event: Progress, now: float) -> Progress:
        """Return the event with the time left, of which the server says nothing."""
        if self.estimate.wanted is None:
            self.estimate.wanted = wanted_of(self.story.options)  # of a job started elsewhere the status says them
        self.estimate.take(now, event.progress, event.stage, event.stage_progress)
        left = self.estimate.left(now)
        return replace(event, estimated_time_remaining=None if left is None else round(left, 1))

    def leave(self) -> None:
        """Let go whoever waits for the job: it has ended, whoever ended its following."""
        self.look.set()
        self.may_cancel.set()

    def is_over(self) -> bool:
        """Whether nothing more is told of the job."""
        return self.is_closing or self.watch.ended.done()
