"""Following over protocol 1: what the socket says is told as it comes, REST is asked whether it is true.

Events can be lost and are not numbered: status is asked after every (re)connection, at `--poll-interval` while there is
no socket, slowly while there is one, and always for an end. An end is told when REST confirms it, in the order of
protocol 2: the phase changed, the archive is ready (its size by a HEAD request), completed. Numbers in brackets are the
oddities of `WIRE.md`.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from exportctl.client import ends, failures
from exportctl.client.api import ArchiveFacts
from exportctl.client.case1 import Case
from exportctl.client.desk import LONGEST_WAIT, Desk
from exportctl.client.job_status import JobStatus
from exportctl.client.socket import Socket, SocketLost
from exportctl.client.unclaimed import Unclaimed
from exportctl.client.waiting import sleep_or
from exportctl.client.watch import Watch
from exportctl.model.errors import Busy, ExportctlError, NotAllowed, NotFound, Unreachable
from exportctl.model.eta import Estimate, wanted_of
from exportctl.model.lines import Log, Source
from exportctl.protocol.dialects import dialect1, reading, wording
from exportctl.protocol.dialects.story1 import Story, judge
from exportctl.protocol.events import (
    DOWNLOADING,
    PROCESSING,
    Cancelled,
    Completed,
    DownloadReady,
    End,
    Event,
    Failed,
    PhaseChanged,
    Progress,
    Started,
)
from exportctl.protocol.happenings import AckReceived

SAFETY_SECONDS: Final = 15.0
"""Between looks at a job whose socket is up."""
CONFIRM_SECONDS: Final = 1.0
CONFIRM_TRIES: Final = 4
"""Looks for the confirmation of an end that the socket told of; then it is believed, with a warning."""
CANCEL_FROM: Final = 5.0
CANCEL_SECONDS: Final = 0.5
"""No cancellation before this progress and this long after the start: it would end the server's process (6)."""
UNREAD_SECONDS: Final = 0.1
"""How long an end that the socket has not told of waits for it."""
ANSWER_SECONDS: Final = 15.0
"""The server's loop stands still while it draws (13)."""


@dataclass(slots=True, kw_only=True)
class StatusDialogue:
    """Protocol 1's side of a follower."""

    desk: Desk
    _cases: dict[str, Case] = field(init=False, default_factory=dict)
    _unclaimed: Unclaimed = field(init=False, default_factory=Unclaimed)

    def attend(self, watch: Watch) -> None:
        """Tell what came of the job before it was known (1), and begin to look after it."""
        job = watch.job
        story = Story(
            job_id=job.job_id, project_id=watch.project_id, project_name=job.project_name, options=watch.options
        )
        now, came = self.desk.monotonic(), self._unclaimed.claim(job.job_id)
        usual = self.desk.usual(watch.project_id)
        estimate = Estimate(began=now, wanted=wanted_of(watch.options), usual=usual, is_joined=not came)
        case = self._cases[job.job_id] = Case(watch=watch, story=story, since=now, estimate=estimate)
        # Heard of from its beginning, over a socket that is up: the first look can wait.
        case.is_new_way = not came or self.desk.socket is None
        for event in came:
            self._hear(case, event, Source.SOCKET)
        if case.is_new_way:
            case.look.set()
        watch.ended.add_done_callback(lambda _: case.leave())
        self.desk.run(self._look_after(case))

    def up(self, _socket: Socket) -> None:
        """Look at every job: what was sent while the socket was down is lost (12)."""
        self.again()

    def down(self, _reason: str) -> None:
        """Look at every job at once, and go on by polls."""
        self.again()

    def again(self) -> None:
        """Look at every job at once."""
        for case in self._cases.values():
            case.is_new_way = True
            case.look.set()

    def heard(self) -> None:
        """Nothing waits: no request is ever acknowledged."""

    def take(self, name: str, data: object) -> None:
        """Tell an event of a job that is followed, keep one that may be yet."""
        if name == "system-message" and isinstance(data, dict):
            words = wording.shown(reading.text(data, "message") or "")
            self.desk.tell(Log(level="warning", code="system-message", message=words, source=Source.SOCKET))
            return
        event = dialect1.decode(name, data)
        if not isinstance(event, Started | Progress | Completed | Failed | Cancelled):
            return
        case = self._cases.get(event.job_id)
        if case is None:
            self._unclaimed.keep(event)
        else:
            self._hear(case, event, Source.SOCKET)

    def answer(self, _ack: AckReceived) -> None:
        """Nothing was asked that could be answered."""

    def strangers(self) -> list[str]:
        """Return the jobs of this user that nobody follows here."""
        return self._unclaimed.jobs()

    async def cancel(self, watch: Watch, reason: str) -> None:
        """Ask by HTTP, when the server can take it (6); by socket where no answer comes."""
        case = self._cases[watch.job.job_id]
        if not case.may_cancel.is_set():
            case.look.set()  # it may be further than the events say
        await case.may_cancel.wait()
        await self.desk.sleep(max(0.0, case.since + CANCEL_SECONDS - self.desk.monotonic()))
        if await self._has_ended(case):
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.desk.api.cancel(watch.project_id, watch.job.job_id, reason=reason)
        except (TimeoutError, Unreachable) as error:
            socket = self.desk.socket
            if socket is None:
                raise Unreachable("the server did not answer the cancellation") from error
            with contextlib.suppress(SocketLost):
                # Never acknowledged: whether it was heard is seen by the job's end.
                ack_id = socket.emit("export:cancel", {"jobId": watch.job.job_id, "projectId": watch.project_id})
                socket.machine.forget(ack_id)
                await socket.flush()
        case.look.set()

    async def _has_ended(self, case: Case) -> bool:
        """Whether there is nothing left to cancel: a job that has ended would be called cancelled, its archive gone."""
        if case.watch.ended.done() or case.story.heard is not None:
            return True
        if self.desk.socket is not None:
            return False
        with contextlib.suppress(ExportctlError):
            seen = await self.desk.api.status(case.watch.project_id, case.watch.job.job_id, attempts=1)
            if ends.end_of(seen) is not None:
                case.look.set()
                return True
        return False

    def _hear(self, case: Case, event: Event, source: Source) -> None:
        """Take what the socket says of a job; behind its end there is nothing to tell (4, 7)."""
        if case.is_over():
            case.watch.sequencer.duplicates += 1
            return
        case.watch.events += 1
        match event:
            case Started() | Progress():
                case.estimate.is_joined &= not isinstance(event, Started)
                self._tell(case, case.story.take(event), event, source)
            case Completed() | Failed() | Cancelled():
                if case.story.end(event):
                    case.look.set()
                else:
                    case.watch.sequencer.duplicates += 1
            case _:
                pass

    def _tell(
        self, case: Case, events: list[Started | Progress], cause: Event | None, source: Source = Source.POLL
    ) -> None:
        for event in events:
            is_made = isinstance(event, Started) and not isinstance(cause, Started)
            told = case.estimated(event, self.desk.monotonic()) if isinstance(event, Progress) else event
            self.desk.reduce(case.watch, told, Source.CLIENT if is_made else source)
        if (case.watch.job.progress or 0.0) >= CANCEL_FROM:
            case.may_cancel.set()

    async def _look_after(self, case: Case) -> None:
        """Ask for the job's status until it has ended."""
        while not case.is_over():
            await sleep_or(self.desk.sleep, self._pause(case), case.look)
            case.look.clear()
            if case.is_over() or (self.desk.socket is None and self.desk.transport == "socket"):
                continue
            had_heard = case.story.heard is not None
            try:
                async with self.desk.gate:
                    seen = await self.desk.api.status(case.watch.project_id, case.watch.job.job_id, attempts=1)
            except ExportctlError as error:
                self._judge_failure(case, error)
            else:
                self.desk.answered()
                case.failing_since, case.missing, case.rest = None, 0, None
                if self.desk.socket is not None and case.story.heard is None and ends.end_of(seen) is not None:
                    # What the socket said before that answer may lie here unread: behind the end it would be lost.
                    await sleep_or(asyncio.sleep, UNREAD_SECONDS, case.look)
                await self._judge(case, seen, may_doubt=had_heard)

    def _pause(self, case: Case) -> float:
        if case.rest is not None:
            return case.rest
        if case.story.heard is not None:
            return CONFIRM_SECONDS
        if self.desk.socket is not None and not case.missing:
            return SAFETY_SECONDS
        return self.desk.pause_of(len(self._cases))

    def _judge_failure(self, case: Case, error: ExportctlError) -> None:
        """Go on where the look may be repeated; a job that is gone, a sign-in that is over, an outage end it."""
        heard, now = case.story.heard, self.desk.monotonic()
        if isinstance(heard, Failed | Cancelled) and not failures.is_passing(error):
            self._close(case, heard, Source.SOCKET)  # there is nothing more to learn of it
            return
        if isinstance(error, NotFound):
            case.missing += 1  # a proxy answers so too, while the server restarts: it must say it twice
            if case.missing > 1:
                case.watch.fail(error)
            return
        if not failures.is_passing(error) and not isinstance(error, Busy):
            case.watch.fail(error)
            return
        case.failing_since = now if case.failing_since is None else case.failing_since
        case.rest = None if error.retry_after is None else min(error.retry_after, LONGEST_WAIT)
        if heard is not None:
            case.doubts += 1
            if case.doubts >= CONFIRM_TRIES and not isinstance(heard, Completed):
                self._close(case, heard, Source.SOCKET)
                return
        is_alone = self.desk.socket is None or heard is not None
        if is_alone and not self.desk.unanswered(error, case.failing_since, self._pause(case)):
            case.watch.fail(error)

    async def _judge(self, case: Case, seen: JobStatus, *, may_doubt: bool) -> None:
        """Take what REST says of the job; an answer to an older question casts no doubt on an end."""
        if case.is_over():
            return
        if case.is_new_way:
            case.is_new_way = False
            self.desk.reduce(case.watch, ends.standing(seen), Source.POLL)
        self._learn(case, seen)
        heard, confirmed = case.story.heard, ends.end_of(seen)
        end = judge(heard, confirmed)
        if end is None and heard is not None and may_doubt:
            case.doubts += 1
            if case.doubts >= CONFIRM_TRIES:
                self._doubt(case, seen)
                end = heard
        if end is None:
            progress = ends.progress_of(seen)
            if progress is not None and (progress.progress or 0.0) > (case.watch.job.progress or 0.0):
                self._tell(case, case.story.take(progress), progress)
            return
        source = Source.SOCKET if end is heard else Source.POLL
        if not isinstance(end, Completed):
            self._close(case, end, source)
            return
        case.is_closing = True
        try:
            facts = await self._measure(case)
        except NotAllowed as error:
            case.watch.fail(error)
            return
        self._complete(case, end, facts, source, seen)

    def _learn(self, case: Case, seen: JobStatus) -> None:
        """Keep what only the status says, for a start that is told later."""
        case.story.project_name = case.story.project_name or seen.project_name
        case.story.options = case.story.options if case.story.options is not None else seen.options

    def _doubt(self, case: Case, seen: JobStatus) -> None:
        self.desk.tell(
            Log(
                job_id=case.watch.job.job_id,
                project_id=case.watch.project_id,
                level="warning",
                code="status-contradicts",
                message=f"the server told of the job's end and still calls it {seen.status}",
            )
        )

    async def _measure(self, case: Case) -> ArchiveFacts:
        """Ask for the archive's size; one that is gone (14), or nobody can tell of now, has none."""
        try:
            async with self.desk.gate:
                return await self.desk.api.measure(case.watch.project_id, case.watch.job.job_id)
        except NotAllowed:
            raise
        except ExportctlError:
            return ArchiveFacts(file_name=None, size=None)

    def _complete(self, case: Case, end: Completed, facts: ArchiveFacts, source: Source, seen: JobStatus) -> None:
        """Tell the end in protocol 2's order; what the server has no events for is made here."""
        job_id, project_id = case.watch.job.job_id, case.watch.project_id
        if (seen_of_it := case.estimate.learned(self.desk.monotonic())) is not None:
            self.desk.learn(project_id, seen_of_it)
        self._tell(case, case.story.begin(), None)
        changed = PhaseChanged(
            job_id=job_id,
            project_id=project_id,
            from_phase=PROCESSING,
            to_phase=DOWNLOADING,
            message="Archive ready, downloading can begin",
            progress=case.watch.job.progress,
        )
        ready = DownloadReady(job_id=job_id, project_id=project_id, file_name=facts.file_name, file_size=facts.size)
        self.desk.reduce(case.watch, changed, Source.CLIENT)
        self.desk.reduce(case.watch, ready, Source.CLIENT)
        self.desk.reduce(case.watch, ends.with_time(end, seen), source)

    def _close(self, case: Case, end: End, source: Source) -> None:
        """Tell a bad end."""
        case.is_closing = True
        self._tell(case, case.story.begin(), None)
        self.desk.reduce(case.watch, end, source)
