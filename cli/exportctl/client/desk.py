"""What the following of every job shares, in either protocol: the jobs, their lines, the tasks, the limits."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from exportctl.client import failures
from exportctl.client.api import Api
from exportctl.client.socket import Socket
from exportctl.client.watch import Watch
from exportctl.model.errors import ExportctlError
from exportctl.model.eta import Usual
from exportctl.model.job import reduce
from exportctl.model.lines import ConnectionChanged, ConnectionState, Line, Source
from exportctl.protocol.events import Event, Progress, Started
from exportctl.protocol.happenings import AckReceived

OUTAGE_SECONDS: Final = 120.0
"""How long, in a row, a server may fail to answer polls, or the only transport, before a job is given up."""
PAGE_SECONDS: Final = 20.0
"""The same where what answers is a page: no export server, and seldom one that is soon to be one again."""
LONGEST_WAIT: Final = 60.0
"""Between polls, whatever the server asks for; a job may end meanwhile."""
AT_ONCE: Final = 8
"""Requests for many jobs that are under way at the same time."""
_POLLS_A_SECOND: Final = 20
"""Of all jobs together: servers of protocol 1 take 5,000 requests a minute from a user (`WIRE.md`)."""

Transport: TypeAlias = Literal["auto", "socket", "polling"]


@dataclass(slots=True, kw_only=True)
class Desk:
    """The state that a follower and its dialogue with the server share; see `follow.Follower` for the parts."""

    api: Api
    tell: Callable[[Line], None]
    together: Callable[[], AbstractContextManager[None]]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    monotonic: Callable[[], float]
    transport: Transport
    poll_interval: float
    usual: Callable[[str], Usual | None] = lambda _project_id: None
    learn: Callable[[str, Usual], None] = lambda _project_id, _usual: None
    """What the stages of a project's jobs take, from an earlier job and for a later one."""
    polls: int = 0
    socket: Socket | None = None
    is_unanswered: bool = field(init=False, default=False)
    watches: dict[str, Watch] = field(init=False, default_factory=dict)
    gate: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    tasks: asyncio.TaskGroup = field(init=False, default_factory=asyncio.TaskGroup)
    running: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    def run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that ends with the follower."""
        task = self.tasks.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    def reduce(self, watch: Watch, event: Event, source: Source) -> None:
        """Take an event into its job and tell what it is worth; the end of the job ends its following."""
        watch.job, lines = reduce(watch.job, event, source)
        if lines and type(event) is Progress:
            watch.progress_at = self.monotonic()
            watch.began_at = watch.began_at or watch.progress_at
            watch.progress = event
        elif lines and type(event) is Started:
            watch.began_at = self.monotonic()
        for line in lines:
            self.tell(line)
        if watch.job.has_ended and not watch.ended.done():
            watch.ended.set_result(watch.job)

    def unanswered(self, error: ExportctlError, since: float, wait: float) -> bool:
        """Note that a poll failed and is made again after `wait`; False where it has failed for too long.

        `since` is when its polls began to fail. Told once, until one is answered again.
        """
        patience = PAGE_SECONDS if error.code == failures.NOT_JSON else OUTAGE_SECONDS
        if self.monotonic() - since > patience:
            return False
        if self.socket is None and not self.is_unanswered:
            self.is_unanswered = True
            self.changed("reconnecting", error.message, retry_in=round(wait, 1))
        return True

    def answered(self) -> None:
        """Note that a poll was answered."""
        self.polls += 1
        if self.is_unanswered:
            self.is_unanswered = False
            if self.socket is None:
                self.changed("polling", "the server answers again")

    def pause_of(self, jobs: int) -> float:
        """Return the seconds between polls of one job where that many are polled."""
        return max(self.poll_interval, jobs / _POLLS_A_SECOND)

    def changed(
        self,
        state: ConnectionState,
        reason: str | None,
        *,
        attempt: int | None = None,
        retry_in: float | None = None,
    ) -> None:
        """Tell that the way to the server changed."""
        self.tell(
            ConnectionChanged(
                state=state, protocol=self.api.protocol, reason=reason, attempt=attempt, retry_in=retry_in
            )
        )


class Dialogue(Protocol):
    """How jobs are followed in one protocol. The follower owns the socket and says when it is up, down and heard."""

    def attend(self, watch: Watch) -> None:
        """Begin to follow a job, which is among the desk's."""

    def up(self, socket: Socket) -> None:
        """Go on over a socket that was just connected."""

    def down(self, reason: str) -> None:
        """Go on without a socket."""

    def again(self) -> None:
        """Ask at once without a socket: what was asked before may never be answered."""

    def heard(self) -> None:
        """Note that something came over the socket."""

    def take(self, name: str, data: object) -> None:
        """Take an event from the socket."""

    def answer(self, ack: AckReceived) -> None:
        """Take an acknowledgement from the socket."""

    def strangers(self) -> list[str]:
        """Return the jobs that were heard of and are not followed, the oldest first."""

    async def cancel(self, watch: Watch, reason: str) -> None:
        """Ask for a job's cancellation."""
