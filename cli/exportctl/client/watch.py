"""One job being followed: its state, its place in the log, the tasks that bring its events."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from exportctl.client.sequencer import Sequencer
from exportctl.model.errors import ExportctlError, Unreachable
from exportctl.model.job import Job
from exportctl.protocol.events import Data, Progress

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_FRUITLESS: Final = 3
"""Readings of an ended job's log, some seconds apart, that may bring nothing: a log may lag behind the status."""
_MOST_REWINDS: Final = 10
"""How often a job may be told from its start again; a server whose log is another one each time has none."""


@dataclass(slots=True, kw_only=True, eq=False)
class Watch:
    """One job being followed. `ended` is done with the job's last state, or with the error that ends the following.

    `progress` is the latest of its processing; `progress_at` the monotonic seconds at which it came, `began_at` those
    of the job's start, or of the first progress where the start was not heard.
    """

    project_id: str
    job: Job
    sequencer: Sequencer = field(default_factory=Sequencer)
    ended: asyncio.Future[Job]
    options: Data | None = None
    log: str | None = None
    events: int = 0
    replay_until: int = 0
    fruitless: int = 0
    rewinds: int = 0
    heard: int = 0
    progress: Progress | None = None
    progress_at: float = 0.0
    began_at: float = 0.0
    is_subscribing: bool = False
    poller: asyncio.Task[None] | None = None
    filler: asyncio.Task[None] | None = None

    def fail(self, error: ExportctlError) -> None:
        """End the following with `error`, once."""
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # looked at: where nobody waits, the error is not lost, the command ended before it

    def fail_without_end(self) -> None:
        """End the following of a job that has ended by all that the server says, but for its log."""
        error = f"the server says that job {self.job.job_id} has ended, and its log does not hold the end"
        self.fail(Unreachable(error, hint=f"exportctl status {self.project_id}/{self.job.job_id}", code="NO_END"))

    def rewind(self) -> bool:
        """Begin again at the log's first event; False where that was done too often."""
        self.rewinds += 1
        self.sequencer.rewind()
        self.job = replace(self.job, seq=0)
        return self.rewinds <= _MOST_REWINDS

    def is_over(self, status: str | None, last_seq: int) -> bool:
        """Whether the job has ended by the server's `status`, and no event is to come that would tell it."""
        return status in ENDED and last_seq <= self.sequencer.cursor and not self.ended.done()

    def is_without_end(self, status: str, cursor: int) -> bool:
        """Note one reading of the log, from `cursor`; whether the job has ended and its log keeps holding no end."""
        is_fruitless = status in ENDED and self.sequencer.cursor == cursor and not self.ended.done()
        self.fruitless = self.fruitless + 1 if is_fruitless else 0
        return self.fruitless >= _FRUITLESS
