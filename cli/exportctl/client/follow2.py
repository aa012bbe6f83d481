"""Following over protocol 2: a subscription or a long poll from the cursor of each job's log, and replay of what lacks.

While the socket is down each job is followed by long poll from its cursor; when it is back polling stops. What lies
behind a gap waits until the log was asked for what is missing.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from exportctl.client import failures
from exportctl.client.api import LONG_POLL_SECONDS
from exportctl.client.calls import Calls
from exportctl.client.desk import AT_ONCE, LONGEST_WAIT, Desk
from exportctl.client.doubt import doubt
from exportctl.client.socket import Socket, SocketLost
from exportctl.client.watch import Watch
from exportctl.model.errors import Busy, ExportctlError, Unreachable
from exportctl.model.job import reduce
from exportctl.model.lines import Log, Source
from exportctl.protocol.dialects import dialect2, reading
from exportctl.protocol.events import AnyEvent, Cancelled, Completed, Failed, Heartbeat, StatusSync
from exportctl.protocol.happenings import AckReceived

SOON_SECONDS: Final = 2.0
"""Silence about a job whose subscription is not acknowledged, after which it is polled beside it."""
MUTE_SECONDS: Final = 15.0
BEATS: Final = 3
"""Silence about a running job after which its log is asked: so many heartbeats were due (`WIRE.md`, Events)."""


@dataclass(slots=True, kw_only=True)
class LogDialogue:
    """Protocol 2's side of a follower."""

    desk: Desk
    _calls: Calls = field(init=False, default_factory=Calls)
    _polled: set[str] = field(init=False, default_factory=set)
    _has_news: bool = field(init=False, default=False)
    _is_mute: bool = field(init=False, default=False)
    _doubting: asyncio.Task[None] | None = field(init=False, default=None)
    _turn: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def attend(self, watch: Watch) -> None:
        """Subscribe, or poll where there is no socket."""
        if self._doubting is None:
            self._doubting = self.desk.run(doubt(self.desk, self._glance))
        if self.desk.socket is not None:
            self.desk.run(self._subscribe(watch, self.desk.socket))
        elif self.desk.transport != "socket":
            self._start_poller(watch)

    def up(self, socket: Socket) -> None:
        """Subscribe to what is followed, from where each job is."""
        self._is_mute = False
        for watch in self.desk.watches.values():
            self._stop_poller(watch)
            self.desk.run(self._subscribe(watch, socket))
        self.desk.run(self._mind(socket))

    def down(self, reason: str) -> None:
        """End what waits for the socket's answers, and go on by long poll where that is allowed."""
        self._calls.lose(reason)
        if self.desk.transport != "socket":
            for watch in self.desk.watches.values():
                self._start_poller(watch)

    def again(self) -> None:
        """Begin the polls anew."""
        for watch in self.desk.watches.values():
            if watch.poller is not None:
                self._stop_poller(watch)
                self._start_poller(watch)

    def heard(self) -> None:
        """Note that something came. Only what told something new ends a silence: others' events can be endless."""
        if self._has_news:
            self._has_news = False
            self._calls.heard()

    def take(self, name: str, data: object) -> None:
        """Let an event of the socket through to its job."""
        self._take(dialect2.decode(name, data), Source.SOCKET)

    def answer(self, ack: AckReceived) -> None:
        """Hand an acknowledgement to its call."""
        self._calls.answer(ack)

    def strangers(self) -> list[str]:
        """Return none: a start has its key, and a subscription replays what came before it."""
        return []

    async def cancel(self, watch: Watch, reason: str) -> None:
        """Ask by socket, and by HTTP where it is down or does not acknowledge."""
        socket = self.desk.socket
        if socket is not None:
            request: dict[str, str | int] = {"jobId": watch.job.job_id, "reason": reason}
            try:
                answer = await self._calls.call(socket, "export:cancel", request)
            except (SocketLost, TimeoutError):
                pass
            else:
                if reading.flag(answer, "ok"):
                    return
        await self.desk.api.cancel(watch.project_id, watch.job.job_id, reason=reason)

    async def _subscribe(self, watch: Watch, socket: Socket) -> None:
        if watch.ended.done():
            return
        watch.is_subscribing = True
        try:
            async with self._turn:
                if self.desk.socket is not socket:
                    return  # whatever came in its place has taken the job over
                if self._is_mute:
                    raise TimeoutError  # noqa: TRY301 - as the one before it: many jobs do not wait one by one
                hurrying = self.desk.run(self._hurry(watch))
                try:
                    answer = await self._calls.call(socket, "export:subscribe", _subscription(watch))
                finally:
                    hurrying.cancel()
        except SocketLost:
            if self.desk.transport != "socket":
                self._start_poller(watch)
            return
        except TimeoutError:
            self._is_mute = True
            self._start_poller(watch)  # the socket is mute about this job: what it owes comes by long poll
            return
        finally:
            watch.is_subscribing = False
        if reading.flag(answer, "ok") is not True:
            # The socket is fast, REST is the judge: it says what the refusal means, or has no part in it.
            self._start_poller(watch)
            return
        self._stop_poller(watch)
        self._note_log(watch, reading.text(answer, "log"), gap=reading.flag(answer, "gap") or False)
        last_seq = reading.integer(answer, "lastSeq") or 0
        watch.sequencer.hear(last_seq)
        if watch.is_over(reading.text(answer, "status"), last_seq):
            self._start_poller(watch)
        self._fill(watch)

    async def _hurry(self, watch: Watch) -> None:
        """Poll as well where the socket says nothing of the job: no answer is worth a long wait without one."""
        heard = -1
        while heard != watch.heard:
            heard = watch.heard
            await asyncio.sleep(SOON_SECONDS)
        if self.desk.transport != "socket":
            self._start_poller(watch)

    def _take(self, event: AnyEvent, source: Source) -> None:
        """Let an event through to its job, in order."""
        watch = self.desk.watches.get(event.job_id)
        if watch is None or watch.ended.done():
            return
        watch.heard += 1
        if isinstance(event, Heartbeat):
            watch.sequencer.hear(event.last_seq)
            self._fill(watch)
            return
        if isinstance(event, StatusSync):
            watch.replay_until = event.last_seq or 0
            self.desk.reduce(watch, event, source)
            return
        if source is Source.SOCKET and event.seq is not None and event.seq <= watch.replay_until:
            source = Source.REPLAY
        for due in watch.sequencer.offer(event):
            watch.events += 1
            self._has_news = True
            self.desk.reduce(watch, due, source)
        if watch.sequencer.is_behind:
            self._fill(watch)

    def _fill(self, watch: Watch) -> None:
        """Ask the log for what lies in a gap, unless it is on its way already."""
        is_coming = watch.is_subscribing or watch.poller is not None or watch.filler is not None
        if watch.sequencer.is_behind and not is_coming and not watch.ended.done():
            watch.filler = self.desk.run(self._fill_gap(watch))

    async def _fill_gap(self, watch: Watch) -> None:
        try:
            while watch.sequencer.is_behind and not watch.ended.done():
                before = watch.sequencer.cursor
                async with self.desk.gate:
                    await self._read_log(watch, wait=0, source=Source.REPLAY, attempts=5)
                if watch.sequencer.cursor == before:
                    await self.desk.sleep(self.desk.poll_interval)
        except ExportctlError as error:
            if not failures.is_passing(error):
                watch.fail(error)
            # Else the heartbeat, the next event or the poller that replaces the socket asks again.
        finally:
            watch.filler = None

    async def _mind(self, socket: Socket) -> None:
        """Ask the logs of jobs about which this socket is mute, though it is up: neither events nor heartbeats come."""
        heard: dict[str, int] = {}
        silences: dict[str, int] = {}
        while True:
            await asyncio.sleep(MUTE_SECONDS / BEATS)
            if self.desk.socket is not socket:
                return
            for job_id, watch in self.desk.watches.items():
                is_silent = heard.get(job_id) == watch.heard and not watch.ended.done()
                heard[job_id] = watch.heard
                silences[job_id] = silences.get(job_id, 0) + 1 if is_silent else 0
                is_asked = watch.is_subscribing or watch.poller is not None or watch.filler is not None
                if silences[job_id] >= BEATS and not is_asked:
                    silences[job_id] = 0
                    watch.filler = self.desk.run(self._look(watch))

    async def _look(self, watch: Watch) -> None:
        try:
            async with self.desk.gate:
                await self._glance(watch)
        except ExportctlError as error:
            if not (failures.is_passing(error) or isinstance(error, Busy)):
                watch.fail(error)
        finally:
            watch.filler = None

    def _start_poller(self, watch: Watch) -> None:
        if watch.poller is None and not watch.ended.done():
            watch.poller = self.desk.run(self._poll(watch))

    def _stop_poller(self, watch: Watch) -> None:
        if watch.poller is not None:
            watch.poller.cancel()
            watch.poller = None

    async def _poll(self, watch: Watch) -> None:
        """Follow one job by poll until it ends or the socket is back."""
        self._polled.add(watch.job.job_id)
        failing_since: float | None = None
        try:
            while not watch.ended.done():
                pause = self.desk.pause_of(len(self._polled))
                asked_at, cursor = self.desk.monotonic(), watch.sequencer.cursor
                try:
                    await self._poll_once(watch)
                    failing_since = None
                    if watch.sequencer.cursor == cursor and self.desk.monotonic() - asked_at < pause:
                        # The server did not hold the answer back, or holds nothing that helps.
                        await self.desk.sleep(pause)
                except ExportctlError as error:
                    failing_since = self.desk.monotonic() if failing_since is None else failing_since
                    wait = min(error.retry_after or pause * (0.5 + self.desk.jitter()), LONGEST_WAIT)
                    may_heal = failures.is_passing(error) or isinstance(error, Busy)
                    if not may_heal or not self.desk.unanswered(error, failing_since, wait):
                        watch.fail(error)
                        return
                    await self.desk.sleep(wait)
        finally:
            self._polled.discard(watch.job.job_id)

    async def _poll_once(self, watch: Watch) -> None:
        """Have the answer held back until there is news; of many jobs only a few, the others are asked in turn."""
        if len(self._polled) <= AT_ONCE:
            await self._read_log(watch, wait=LONG_POLL_SECONDS, source=Source.POLL, attempts=1)
            return
        async with self.desk.gate:
            await self._glance(watch)

    async def _glance(self, watch: Watch) -> None:
        await self._read_log(watch, wait=0, source=Source.POLL, attempts=1)

    async def _read_log(self, watch: Watch, *, wait: int, source: Source, attempts: int) -> None:
        cursor = watch.sequencer.cursor
        page = await self.desk.api.events(
            watch.project_id,
            watch.job.job_id,
            after=cursor,
            log=watch.log,
            wait=wait,
            attempts=attempts,
        )
        self.desk.answered()
        self._note_log(watch, page.log, gap=page.gap)
        if page.gap and cursor:
            job_id, project_id = watch.job.job_id, watch.project_id
            sync = StatusSync(job_id=job_id, project_id=project_id, status=page.status, last_seq=page.last_seq)
            self.desk.reduce(watch, sync, source)
        with self.desk.together():
            for event in page.events:
                self._take(event, source)
        if watch.is_over(page.status, page.last_seq) and watch.sequencer.cursor:
            await self._settle(watch, attempts=attempts)
        if watch.is_without_end(page.status, cursor):
            watch.fail_without_end()

    async def _settle(self, watch: Watch, *, attempts: int) -> None:
        """Take the end of a job that lies before the cursor (`follow --after`): known, and not told again."""
        before = watch.sequencer.cursor - 1
        page = await self.desk.api.events(
            watch.project_id, watch.job.job_id, after=before, log=watch.log, wait=0, attempts=attempts
        )
        for event in page.events:
            if isinstance(event, Completed | Failed | Cancelled) and not watch.ended.done():
                watch.job, _ = reduce(replace(watch.job, seq=before), event, Source.REPLAY)
                watch.ended.set_result(watch.job)

    def _note_log(self, watch: Watch, log: str | None, *, gap: bool) -> None:
        """Remember which log the cursor counts in; where the server counts in another, begin again at 1 and say so."""
        if gap and watch.sequencer.cursor:
            self.desk.tell(
                Log(
                    job_id=watch.job.job_id,
                    project_id=watch.project_id,
                    level="warning",
                    code="log-gap",
                    message="the server's log of this job does not reach back to what was seen; told from its start",
                )
            )
            if not watch.rewind():
                watch.fail(
                    Unreachable(
                        f"the server's log of job {watch.job.job_id} begins anew again and again",
                        hint=f"exportctl status {watch.project_id}/{watch.job.job_id}",
                        code="NO_LOG",
                    )
                )
        watch.log = log or watch.log


def _subscription(watch: Watch) -> dict[str, str | int]:
    request: dict[str, str | int] = {"jobId": watch.job.job_id, "after": watch.sequencer.cursor}
    if watch.log is not None:
        request["log"] = watch.log
    return request
