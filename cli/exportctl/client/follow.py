"""Following jobs: one socket kept up for all of them, and what is told over it or asked without it as their lines.

Connect, then start: the socket is up before the job exists, or was waited for as long as that helps. While it is down,
or takes longer than a second to come up, the dialogue polls, and the socket is tried in the background with jittered
exponential back-off, at once where the machine slept; when it is up polling stops. Which protocol is spoken is the
dialogue's business (`follow1`, `follow2`): both tell the same events.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, NoReturn, Self

from exportctl.client import failures
from exportctl.client.api import Api
from exportctl.client.desk import OUTAGE_SECONDS, Desk, Dialogue, Transport
from exportctl.client.follow1 import StatusDialogue
from exportctl.client.follow2 import LogDialogue
from exportctl.client.sequencer import Sequencer
from exportctl.client.socket import Socket, SocketLost, open_socket
from exportctl.client.waiting import LOOK_SECONDS, Slumber, backoff, sleep_or
from exportctl.client.watch import Watch
from exportctl.model.errors import ExportctlError, NotAllowed, Unreachable
from exportctl.model.eta import Usual
from exportctl.model.job import Job
from exportctl.model.lines import ConnectionState, Line
from exportctl.protocol import socketio
from exportctl.protocol.dialects import dialect2
from exportctl.protocol.happenings import AckReceived

_RETRY_FIRST: Final = 0.5
_RETRY_MOST: Final = 30.0
_STEADY_SECONDS: Final = 5.0
"""How long a socket must have lived for the waits between attempts to begin anew."""
SOON_SECONDS: Final = 1.0
"""How long a first socket that neither comes up nor fails is waited for."""
BEFORE_START_SECONDS: Final = 15.0
"""The same before a start on protocol 1, which loses what it tells before there is a socket (`WIRE.md`, 1 and 13)."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows any number of jobs over one socket. Use as a context manager; `tell` takes the lines.

    The lines of events that came at once are told within `together`. `sleep` and `jitter` (0 to 1) are the waits
    between attempts, `monotonic` the clock of outages, `soon` the seconds that `connected` waits. `usual` and `learn`:
    what the stages of a project's jobs take, by its id, where the server says nothing of time.
    """

    api: Api
    tell: Callable[[Line], None]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    monotonic: Callable[[], float]
    transport: Transport = "auto"
    poll_interval: float = 2.0
    soon: float = SOON_SECONDS
    usual: Callable[[str], Usual | None] = lambda _project_id: None
    learn: Callable[[str, Usual], None] = lambda _project_id, _usual: None
    together: Callable[[], AbstractContextManager[None]] = nullcontext
    slumber: Slumber = field(default_factory=lambda: Slumber(wall=time.time, monotonic=time.monotonic))
    reconnects: int = field(init=False, default=0)
    _desk: Desk = field(init=False)
    _dialogue: Dialogue | None = field(init=False, default=None)
    _tried: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _refused: ExportctlError | None = field(init=False, default=None)
    _awake: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _limit: asyncio.Timeout | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._desk = Desk(
            api=self.api,
            tell=self.tell,
            together=self.together,
            sleep=self.sleep,
            jitter=self.jitter,
            monotonic=self.monotonic,
            transport=self.transport,
            poll_interval=self.poll_interval,
            usual=self.usual,
            learn=self.learn,
        )

    @property
    def polls(self) -> int:
        """How often the server was asked how a job is."""
        return self._desk.polls

    async def __aenter__(self) -> Self:
        """Begin to connect; `connected` waits for the outcome. The API was asked something before: see `Api.meet`."""
        await self._desk.tasks.__aenter__()
        self._desk.run(self._link())
        self._desk.run(self._notice_slumber())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """End every task and close the socket."""
        for watch in self._desk.watches.values():
            watch.ended.cancel()
        for task in self._desk.running:
            task.cancel()
        if isinstance(error, asyncio.CancelledError):
            await self._desk.tasks.__aexit__(kind, error, None)
        else:
            # What the body raised goes its own way, not into a group.
            await self._desk.tasks.__aexit__(None, None, None)

    async def connected(self, *, before_start: bool = False) -> None:
        """Wait until the socket is up or was tried once, for a second at most: without it a job is followed by polls.

        `before_start`: a job is to be started, which protocol 1 tells of only once and perhaps before its answer: there
        the socket is waited for longer. Raises what the server refuses: `NotAllowed` for the sign-in.
        """
        if not await self._comes_up(self.soon):
            left = BEFORE_START_SECONDS if before_start and self.api.protocol == 1 else 0.0
            if left:
                reason = f"no socket yet: the start waits for it, {left:.0f} s at most"
                self._desk.changed("reconnecting", reason)
            if not left or not await self._comes_up(left):
                self._without("the socket is not up yet")
        if self._refused is not None:
            raise self._refused

    async def _comes_up(self, seconds: float) -> bool:
        """Wait for the first attempt; return whether it was over in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tried.wait()
        return self._tried.is_set()

    def watch(
        self,
        project_id: str,
        job_id: str,
        *,
        after: int = 0,
        project_name: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Watch:
        """Begin to follow a job from the event behind `after`; await its `ended`. One that is followed is so already.

        `project_name` and `options` are what the caller knows of it already, for a server that does not say.
        """
        if (watched := self._desk.watches.get(job_id)) is not None and not watched.ended.done():
            return watched  # a second watch would take the events from the first
        watch = Watch(
            project_id=project_id,
            job=Job(job_id=job_id, project_id=project_id, project_name=project_name, seq=after),
            options=options,
            sequencer=Sequencer(cursor=after),
            ended=asyncio.get_running_loop().create_future(),
        )
        self._desk.watches[job_id] = watch
        if self._refused is None:
            self._talk().attend(watch)
        else:
            watch.fail(self._refused)
        return watch

    def is_watching(self, job_id: str) -> bool:
        """Whether the job is followed already: it is followed once."""
        return job_id in self._desk.watches

    def strangers(self) -> list[str]:
        """Return the jobs of this user that were heard of and are not followed, the oldest first."""
        return self._talk().strangers()

    async def cancel(self, watch: Watch, reason: str) -> None:
        """Ask for the job's cancellation, when and how the server takes it."""
        await self._talk().cancel(watch, reason)

    def look_again(self) -> None:
        """Try the connection at once: what it was is not what it is."""
        self._awake.set()
        if self._desk.socket is None:
            self._talk().again()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _talk(self) -> Dialogue:
        """Return the dialogue in the server's protocol, fixed when it is first needed."""
        if self._dialogue is None:
            kind = StatusDialogue if self.api.protocol == 1 else LogDialogue
            self._dialogue = kind(desk=self._desk)
        return self._dialogue

    async def _link(self) -> None:
        """Keep the socket up, for as long as the follower lives."""
        if self.transport == "polling":
            self._desk.changed("polling", "--transport polling")
            self._tried.set()
            return
        attempt, up_at, was_renewed = 0, self.monotonic(), False
        read_event = socketio.read_event if self.api.protocol == 1 else dialect2.read_event
        while True:
            seen = self.api.renewals
            try:
                async with open_socket(
                    self.api.http, self.api.server, read_event=read_event, on_frame=self.api.on_frame
                ) as socket:
                    self.reconnects += 1 if attempt else 0
                    up_at, was_renewed = self.monotonic(), False
                    await self._serve(socket)
            except SocketLost as lost:
                reason = str(lost)
            except ExportctlError as error:
                try:
                    was_renewed = await self._overcome(error, seen, was_renewed=was_renewed)
                except Unreachable as away:
                    reason = away.message  # whether it can be overcome is to be seen
                else:
                    if was_renewed:
                        continue
                    return
            if self._desk.socket is not None:
                now = self.monotonic()
                # One that breaks as soon as it is up would else end each poll before it has brought anything.
                attempt = 0 if now - up_at >= _STEADY_SECONDS else attempt
                up_at = now
            attempt += 1
            delay = backoff(attempt - 1, first=_RETRY_FIRST, most=_RETRY_MOST, jitter=self.jitter())
            if self._awake.is_set():
                delay = 0.0
            self._lost(reason, attempt, delay, down_for=self.monotonic() - up_at)
            await sleep_or(self.sleep, delay, self._awake)
            self._awake.clear()

    async def _overcome(self, refusal: ExportctlError, seen: int, *, was_renewed: bool) -> bool:
        """Renew the sign-in that the server refused, once; False: nothing can be done, and the following has ended.

        Raises `Unreachable` where waiting may help.
        """
        try:
            if isinstance(refusal, NotAllowed) and not was_renewed and await self.api.renewed(seen):
                return True
        except ExportctlError as over:
            refusal = over
        if isinstance(refusal, Unreachable) and failures.is_passing(refusal):
            raise refusal
        self._give_up(refusal)
        return False

    def _give_up(self, refusal: ExportctlError) -> None:
        self._refused = refusal
        self._tried.set()
        for watch in self._desk.watches.values():
            watch.fail(refusal)

    def _lost(self, reason: str, attempt: int, delay: float, *, down_for: float) -> None:
        """Say that the socket is down, and go on without it where that is allowed."""
        self._desk.socket = None
        self._without(reason, attempt=attempt, retry_in=round(delay, 1))
        if self.transport == "socket" and down_for > OUTAGE_SECONDS:
            self._give_up(Unreachable(f"no socket to {self.api.url}: {reason}", hint="--transport auto"))

    def _without(self, reason: str, *, attempt: int | None = None, retry_in: float | None = None) -> None:
        state: ConnectionState = "reconnecting" if self.transport == "socket" else "polling"
        self._desk.changed(state, reason, attempt=attempt, retry_in=retry_in)
        self._tried.set()
        self._talk().down(reason)

    async def _serve(self, socket: Socket) -> NoReturn:
        """Hand on what comes, until the socket is lost."""
        self._desk.socket = socket
        self._desk.changed("connected", None)
        self._tried.set()
        dialogue = self._talk()
        dialogue.up(socket)
        try:
            async with asyncio.timeout(None) as self._limit:
                while True:
                    happenings = await socket.receive()
                    dialogue.heard()
                    with self.together():
                        for happening in happenings:
                            if isinstance(happening, AckReceived):
                                dialogue.answer(happening)
                            elif happening.args:
                                dialogue.take(happening.name, happening.args[0])
        except TimeoutError as error:
            raise SocketLost("this machine slept") from error
        finally:
            self._limit = None

    async def _notice_slumber(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.slumber.has_slept():
                self.look_again()
