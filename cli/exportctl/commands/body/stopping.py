"""What signals do to a command's jobs, from the moment a start is asked for to each job's end (`CLI.md`, Signals).

The first one cancels, or leaves where that was asked for, and for SIGHUP; any second one leaves: that is the session's
own. Feedback comes before anything is sent. A start that is under way is waited for, since without its answer nobody
knows what to cancel.
"""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from exportctl.client.api import Api
from exportctl.client.asking import PROTOCOL_2
from exportctl.client.calls import ACKNOWLEDGE_SECONDS
from exportctl.client.follow import Follower
from exportctl.client.watch import Watch
from exportctl.commands.body.memory import status_of
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.options import Interrupt
from exportctl.model.errors import ExportctlError, Unreachable
from exportctl.model.job import Job
from exportctl.protocol.events import Completed

TERMINATE_SECONDS: Final = 8.0
"""CI runners kill 10 s after SIGTERM."""
ANSWER_SECONDS: Final = 2.0
"""How long leaving waits for the answer to a start, which names the job to come back to."""
AGAIN_SECONDS: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Stopping:
    """The signals' part of a command. Within `with`, the first signal is taken here."""

    session: Session
    on_interrupt: Interrupt
    _asked: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _leaves: bool = field(init=False, default=False)

    def __enter__(self) -> Self:
        """Begin to take the first signal."""
        self.session.on_signal = self._take
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave signals to the session: there is nothing left to cancel."""
        self.session.on_signal = None

    def started(self) -> None:
        """Note that the start was answered: the report knows its job now."""
        if self._leaves:
            self.session.leave()

    def not_started(self) -> None:
        """Note that the start was refused: a signal that came meanwhile has nothing to wait for, or to cancel."""
        if self.session.caught is not None:
            self.session.leave()

    async def end(self, api: Api, follower: Follower, watch: Watch, report: Report) -> Job:
        """Return the job when it has ended; whatever it is cancelled by meanwhile."""
        session = self.session
        report.follower, report.watch = follower, watch
        session.waiting_for = f"job {watch.job.job_id}"
        canceller = asyncio.create_task(self._cancel(api, follower, watch, report))
        try:
            job = await asyncio.shield(watch.ended)
        finally:
            canceller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await canceller
        report.processing_ended()
        if job.end is not None:
            session.memory.ended(report, status_of(job.end))
        if isinstance(job.end, Completed):
            report.warnings = job.end.warnings
        return job

    def _take(self, number: signal.Signals) -> None:
        session = self.session
        loop = asyncio.get_running_loop()
        if not any(report.is_starting or report.job_id for report in session.reports):
            session.leave()
            return
        if self.on_interrupt == "detach" or number is signal.SIGHUP:
            self._leaves = True
            if any(report.is_starting for report in session.reports):
                loop.call_later(ANSWER_SECONDS, session.leave)
            else:
                session.leave()
            return
        session.say_now("Cancelling…")
        self._asked.set()
        if number is signal.SIGTERM:
            loop.call_later(TERMINATE_SECONDS, session.leave)

    async def _cancel(self, api: Api, follower: Follower, watch: Watch, report: Report) -> None:
        await self._asked.wait()
        session = self.session
        report.is_cancelling = True
        reason = f"{session.caught.name if session.caught else 'signal'} in exportctl"
        while True:
            try:
                await request_cancel(api, follower, watch, reason, both=session.caught is signal.SIGTERM)
            except Unreachable:
                await asyncio.sleep(AGAIN_SECONDS)
            except ExportctlError as error:
                session.say_now(f"The server does not cancel: {error.message}")
                return
            else:
                return


async def request_cancel(api: Api, follower: Follower, watch: Watch, reason: str, *, both: bool = False) -> None:
    """Ask for a job's cancellation as the follower does, and by HTTP where no acknowledgement comes for a while.

    `both`: by the two ways at once. On protocol 1 the follower knows when it is safe, and which way is taken. Raises
    `ExportctlError` where neither way says yes.
    """
    if api.protocol != PROTOCOL_2:
        await follower.cancel(watch, reason)
        return

    def by_http() -> Coroutine[None, None, None]:
        return api.cancel(watch.project_id, watch.job.job_id, reason=reason)

    if both:
        ends = await asyncio.gather(follower.cancel(watch, reason), by_http(), return_exceptions=True)
        if all(isinstance(end, BaseException) for end in ends) and isinstance(ends[1], BaseException):
            raise ends[1]
        return
    try:
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            await follower.cancel(watch, reason)
    except TimeoutError:
        await by_http()
