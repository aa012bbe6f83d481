"""Following jobs: socket, long poll and replay merged into one story for each, told as lines.

Connect, then start: the socket is up before the job exists. While it is down each job is followed by long poll from
its cursor, and the socket is tried again in the background with jittered exponential back-off; when it is back
polling stops. What lies behind a gap waits until the log was asked for what is missing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NoReturn, Self

from exportctl.client import failures
from exportctl.client.api import LONG_POLL_SECONDS, Api
from exportctl.client.calls import Calls
from exportctl.client.sequencer import Sequencer
from exportctl.client.socket import Socket, SocketLost, open_socket
from exportctl.client.watch import Watch
from exportctl.model.errors import ExportctlError, NotAllowed, Unreachable
from exportctl.model.job import Job, reduce
from exportctl.model.lines import ConnectionChanged, Line, Log, Source
from exportctl.protocol.dialects import dialect2, reading
from exportctl.protocol.events import AnyEvent, Cancelled, Completed, Event, Failed, Heartbeat, StatusSync
from exportctl.protocol.happenings import AckReceived

OUTAGE_SECONDS: Final = 120.0
"""How long, in a row, a server may fail to answer polls, or the only transport, before a job is given up."""
_RETRY_FIRST: Final = 0.5
_RETRY_MOST: Final = 30.0

Transport = Literal["auto", "socket", "polling"]


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows any number of jobs over one socket. Use as a context manager; `tell` takes the lines.

    `sleep` and `jitter` (0 to 1) are the waits between attempts, `monotonic` the clock of outages.
    """

    api: Api
    tell: Callable[[Line], None]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    monotonic: Callable[[], float]
    transport: Transport = "auto"
    poll_interval: float = 2.0
    reconnects: int = field(init=False, default=0)
    polls: int = field(init=False, default=0)
    _watches: dict[str, Watch] = field(init=False, default_factory=dict)
    _socket: Socket | None = field(init=False, default=None)
    _calls: Calls = field(init=False, default_factory=Calls)
    _tried: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _refused: NotAllowed | None = field(init=False, default=None)
    _tasks: asyncio.TaskGroup = field(init=False, default_factory=asyncio.TaskGroup)
    _running: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    async def __aenter__(self) -> Self:
        """Begin to connect; `connected` waits for the outcome."""
        await self._tasks.__aenter__()
        self._run(self._link())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """End every task and close the socket."""
        for watch in self._watches.values():
            watch.ended.cancel()
        for task in self._running:
            task.cancel()
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, None)
        else:
            # What the body raised goes its own way, not into a group.
            await self._tasks.__aexit__(None, None, None)

    async def connected(self) -> None:
        """Wait until the socket is up or was tried once. Raises `NotAllowed` where the server refuses the sign-in."""
        await self._tried.wait()
        if self._refused is not None:
            raise self._refused

    def watch(self, project_id: str, job_id: str, *, after: int = 0) -> Watch:
        """Begin to follow a job from the event behind `after`; await its `ended`."""
        watch = Watch(
            project_id=project_id,
            job=Job(job_id=job_id, project_id=project_id, seq=after),
            sequencer=Sequencer(cursor=after),
            ended=asyncio.get_running_loop().create_future(),
        )
        self._watches[job_id] = watch
        if self._socket is not None:
            self._run(self._subscribe(watch, self._socket))
        elif self.transport != "socket":
            self._start_poller(watch)
        return watch

    async def cancel(self, watch: Watch, reason: str) -> None:
        """Ask for the job's cancellation: by socket, and by HTTP where it is down or does not acknowledge."""
        socket = self._socket
        if socket is not None:
            request: dict[str, str | int] = {"jobId": watch.job.job_id, "reason": reason}
            try:
                answer = await self._calls.call(socket, "export:cancel", request)
            except (SocketLost, TimeoutError):
                pass
            else:
                if reading.flag(answer, "ok"):
                    return
        await self.api.cancel(watch.project_id, watch.job.job_id, reason=reason)

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _link(self) -> None:
        """Keep the socket up, for as long as the follower lives."""
        if self.transport == "polling":
            self._changed("polling", "--transport polling")
            self._tried.set()
            return
        attempt, up_at = 0, self.monotonic()
        while True:
            try:
                async with open_socket(self.api.http, self.api.server) as socket:
                    self.reconnects += 1 if attempt else 0
                    attempt = 0
                    await self._serve(socket)
            except SocketLost as lost:
                reason = str(lost)
            except NotAllowed as refusal:
                self._refused = refusal
                self._tried.set()
                for watch in self._watches.values():
                    watch.fail(refusal)
                return
            if self._socket is not None:
                up_at = self.monotonic()
            attempt += 1
            delay = min(_RETRY_MOST, _RETRY_FIRST * 2 ** (attempt - 1)) * (0.5 + self.jitter() / 2)
            self._lost(reason, attempt, delay, down_for=self.monotonic() - up_at)
            await self.sleep(delay)

    def _lost(self, reason: str, attempt: int, delay: float, *, down_for: float) -> None:
        """Say that the socket is down, end what waits for its answers, and go on by long poll where that is allowed."""
        self._socket = None
        self._calls.lose(reason)
        state: Literal["polling", "reconnecting"] = "reconnecting" if self.transport == "socket" else "polling"
        self._changed(state, reason, attempt=attempt, retry_in=round(delay, 1))
        self._tried.set()
        for watch in self._watches.values():
            if state == "polling":
                self._start_poller(watch)
            elif down_for > OUTAGE_SECONDS:
                watch.fail(Unreachable(f"no socket to {self.api.server.url}: {reason}", hint="--transport auto"))

    async def _serve(self, socket: Socket) -> NoReturn:
        """Subscribe what is followed and hand on what comes, until the socket is lost."""
        self._socket = socket
        self._changed("connected", None)
        self._tried.set()
        for watch in self._watches.values():
            if watch.poller is not None:
                watch.poller.cancel()
                watch.poller = None
            self._run(self._subscribe(watch, socket))
        while True:
            happenings = await socket.receive()
            self._calls.heard()
            for happening in happenings:
                if isinstance(happening, AckReceived):
                    self._calls.answer(happening)
                elif happening.args:
                    self._take(dialect2.decode(happening.name, happening.args[0]), Source.SOCKET)

    async def _subscribe(self, watch: Watch, socket: Socket) -> None:
        if watch.ended.done():
            return
        watch.is_subscribing = True
        request: dict[str, str | int] = {"jobId": watch.job.job_id, "after": watch.sequencer.cursor}
        if watch.log is not None:
            request["log"] = watch.log
        try:
            answer = await self._calls.call(socket, "export:subscribe", request)
        except SocketLost:
            if self.transport != "socket":
                self._start_poller(watch)
            return
        except TimeoutError:
            self._start_poller(watch)  # the socket is mute about this job: what it owes comes by long poll
            return
        finally:
            watch.is_subscribing = False
        if reading.flag(answer, "ok") is not True:
            # The socket is fast, REST is the judge: it says what the refusal means, or has no part in it.
            self._start_poller(watch)
            return
        self._note_log(watch, reading.text(answer, "log"), gap=reading.flag(answer, "gap") or False)
        last_seq = reading.integer(answer, "lastSeq") or 0
        watch.sequencer.hear(last_seq)
        if watch.is_over(reading.text(answer, "status"), last_seq):
            self._start_poller(watch)
        self._fill(watch)

    def _take(self, event: AnyEvent, source: Source) -> None:
        """Let an event through to its job, in order."""
        watch = self._watches.get(event.job_id)
        if watch is None or watch.ended.done():
            return
        if isinstance(event, Heartbeat):
            watch.sequencer.hear(event.last_seq)
            self._fill(watch)
            return
        if isinstance(event, StatusSync):
            watch.replay_until = event.last_seq or 0
            self._reduce(watch, event, source)
            return
        if source is Source.SOCKET and event.seq is not None and event.seq <= watch.replay_until:
            source = Source.REPLAY
        for due in watch.sequencer.offer(event):
            watch.events += 1
            self._reduce(watch, due, source)
        self._fill(watch)

    def _reduce(self, watch: Watch, event: Event, source: Source) -> None:
        watch.job, lines = reduce(watch.job, event, source)
        for line in lines:
            self.tell(line)
        if watch.job.has_ended and not watch.ended.done():
            watch.ended.set_result(watch.job)

    def _fill(self, watch: Watch) -> None:
        """Ask the log for what lies in a gap, unless it is on its way already."""
        is_coming = watch.is_subscribing or watch.poller is not None or watch.filler is not None
        if watch.sequencer.is_behind and not is_coming and not watch.ended.done():
            watch.filler = self._run(self._fill_gap(watch))

    async def _fill_gap(self, watch: Watch) -> None:
        try:
            while watch.sequencer.is_behind and not watch.ended.done():
                before = watch.sequencer.cursor
                await self._read_log(watch, wait=0, source=Source.REPLAY, attempts=5)
                if watch.sequencer.cursor == before:
                    await self.sleep(self.poll_interval)
        except ExportctlError as error:
            if not failures.is_passing(error):
                watch.fail(error)
            # Else the heartbeat, the next event or the poller that replaces the socket asks again.
        finally:
            watch.filler = None

    def _start_poller(self, watch: Watch) -> None:
        if watch.poller is None and not watch.ended.done():
            watch.poller = self._run(self._poll(watch))

    async def _poll(self, watch: Watch) -> None:
        """Follow one job by long poll until it ends or the socket is back."""
        failing_since: float | None = None
        while not watch.ended.done():
            asked_at, cursor = self.monotonic(), watch.sequencer.cursor
            try:
                await self._read_log(watch, wait=LONG_POLL_SECONDS, source=Source.POLL, attempts=1)
                failing_since = None
                if watch.sequencer.cursor == cursor and self.monotonic() - asked_at < self.poll_interval:
                    # The server did not hold the answer back, or holds nothing that helps.
                    await self.sleep(self.poll_interval)
            except ExportctlError as error:
                now = self.monotonic()
                failing_since = now if failing_since is None else failing_since
                if not failures.is_passing(error) or now - failing_since > OUTAGE_SECONDS:
                    watch.fail(error)
                    return
                await self.sleep(self.poll_interval * (0.5 + self.jitter()))

    async def _read_log(self, watch: Watch, *, wait: int, source: Source, attempts: int) -> None:
        page = await self.api.events(
            watch.project_id,
            watch.job.job_id,
            after=watch.sequencer.cursor,
            log=watch.log,
            wait=wait,
            attempts=attempts,
        )
        self.polls += 1
        self._note_log(watch, page.log, gap=page.gap)
        for event in page.events:
            self._take(event, source)
        if watch.is_over(page.status, page.last_seq):
            await self._settle(watch, attempts=attempts)

    async def _settle(self, watch: Watch, *, attempts: int) -> None:
        """Take the end of a job that lies before the cursor (`follow --after`): known, and not told again."""
        before = watch.sequencer.cursor - 1
        page = await self.api.events(
            watch.project_id, watch.job.job_id, after=before, log=watch.log, wait=0, attempts=attempts
        )
        for event in page.events:
            if isinstance(event, Completed | Failed | Cancelled) and not watch.ended.done():
                watch.job, _ = reduce(replace(watch.job, seq=before), event, Source.REPLAY)
                watch.ended.set_result(watch.job)

    def _note_log(self, watch: Watch, log: str | None, *, gap: bool) -> None:
        """Remember which log the cursor counts in; where the server counts in another, begin again at 1 and say so."""
        if gap and watch.sequencer.cursor:
            self.tell(
                Log(
                    job_id=watch.job.job_id,
                    project_id=watch.project_id,
                    level="warning",
                    code="log-gap",
                    message="the server's log of this job does not reach back to what was seen; told from its start",
                )
            )
            watch.sequencer.rewind()
            watch.job = replace(watch.job, seq=0)
        watch.log = log or watch.log

    def _changed(
        self,
        state: Literal["connected", "reconnecting", "polling", "closed"],
        reason: str | None,
        *,
        attempt: int | None = None,
        retry_in: float | None = None,
    ) -> None:
        self.tell(
            ConnectionChanged(
                state=state, protocol=self.api.protocol, reason=reason, attempt=attempt, retry_in=retry_in
            )
        )
