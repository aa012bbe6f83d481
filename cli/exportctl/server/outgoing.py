"""What goes out to a socket: each packet when there is room for it, and none to a socket that takes nothing.

python-socketio's outgoing queue has no bound, so before each packet a socket's queue is looked at; one that is full is
waited for, and one that takes nothing for long is ended. It loses nothing: it subscribes again with `after`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engineio.packet import Packet

from exportctl.server.doorway import Server
from exportctl.server.job import Event
from exportctl.server.settings import Settings
from exportctl.server.spelling import Spelling

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Replay:
    """A subscription on its way to its acknowledgement.

    `is_wanted`: it was not unsubscribed meanwhile; `is_last`: nor followed by another one of the same job.
    """

    job_id: str
    is_wanted: bool = True
    is_last: bool = True


@dataclass(eq=False, slots=True)
class Reader:
    """One connected socket.

    `following`: the task that tells it of a job, by job; `ending`: the jobs that it cancels as operations.
    """

    sid: str
    user: str
    following: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    subscribed: bool = False
    watching: set[str] = field(default_factory=set)
    ending: set[str] = field(default_factory=set)
    replays: set[Replay] = field(default_factory=set)
    calls: int = 0
    gone: bool = False

    def begin(self, job_id: str) -> Replay:
        """Note a subscription; take it out of `replays` when it is answered."""
        for earlier in self._replays_of(job_id):
            earlier.is_last = False
        replay = Replay(job_id)
        self.replays.add(replay)
        return replay

    def end(self, job_id: str) -> None:
        """Tell it of the job no more, whatever was begun."""
        for replay in self._replays_of(job_id):
            replay.is_wanted = False
        self.stop(job_id)

    def _replays_of(self, job_id: str) -> list[Replay]:
        return [replay for replay in self.replays if replay.job_id == job_id]

    def stop(self, job_id: str) -> None:
        """Tell it of the job no more."""
        task = self.following.pop(job_id, None)
        if task is not None:
            task.cancel()


class Outgoing:
    """The way out to the sockets of `server`; `cut` ends one that takes nothing."""

    def __init__(self, server: Server, settings: Settings, cut: Callable[[Reader], None]) -> None:
        self._server = server
        self._settings = settings
        self._cut = cut
        self._spelling = Spelling()

    async def tell(self, reader: Reader, job_id: str, event: Event) -> None:
        """Send a logged event."""
        await self._send(reader, self._spelling.of_event(job_id, event))

    async def emit(self, reader: Reader, name: str, data: Mapping[str, Any]) -> None:
        """Send anything else."""
        await self._send(reader, self._spelling.of(name, data))

    async def _send(self, reader: Reader, packet: Packet) -> None:
        socket = await self._with_room(reader)
        if socket is not None:
            await socket.send(packet)

    async def _with_room(self, reader: Reader) -> Any:
        """Return the reader's socket once it has room, None if it never will."""
        waited, pause = 0.0, 0.005
        while not reader.gone:
            session = self._server.manager.eio_sid_from_sid(reader.sid, "/")
            socket = self._server.eio.sockets.get(session)
            if socket is None:
                return None
            if socket.queue.qsize() < self._settings.queue:
                return socket
            if waited >= self._settings.stall:
                logger.info("A socket that takes nothing is cut")
                self._cut(reader)
                return None
            # The queue tells nobody that it drained.
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, 0.25)
        return None
