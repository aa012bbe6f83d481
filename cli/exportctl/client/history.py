"""A server's jobs as they change: pushed over a socket where the server does that (`export:history`), else asked for.

Protocol 2 pushes a job whenever one of a project begins or ends; in between, and on protocol 1, which pushes nothing
that names a project, the history is asked every so often. Nothing here gives up: whoever watches ends it.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

from exportctl.client.api import Api
from exportctl.client.asking import PROTOCOL_2
from exportctl.client.calls import Calls
from exportctl.client.job_status import JobStatus, read_status
from exportctl.client.socket import Socket, SocketLost, open_socket
from exportctl.client.waiting import backoff
from exportctl.model.errors import ExportctlError, NotFound
from exportctl.protocol.dialects import reading
from exportctl.protocol.happenings import AckReceived

LIMIT: Final = 100
"""Jobs of a project that are asked for at first; servers of protocol 1 give ten."""
_RETRY_FIRST: Final = 0.5
_RETRY_MOST: Final = 30.0
_AT_ONCE: Final = 8


@dataclass(slots=True, kw_only=True)
class HistoryWatch:
    """Watches projects and single jobs of one server, each by `run` until it is cancelled.

    `tell` takes the jobs that were heard of, with the project's id filled in; `fail` what keeps the server from being
    asked, None once it answers again. `projects` are ids; `unfinished` gives the (project, job) pairs that may have
    changed without a push.
    """

    api: Api
    poll_interval: float
    is_polling: bool
    projects: Collection[str]
    unfinished: Callable[[], list[tuple[str | None, str]]]
    tell: Callable[[list[JobStatus]], None]
    fail: Callable[[ExportctlError | None], None]
    jitter: Callable[[], float]
    _is_pushed: bool = field(init=False, default=False)
    _gate: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def run(self) -> None:
        """Watch, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            if self.api.protocol == PROTOCOL_2 and not self.is_polling and self.projects:
                group.create_task(self._listen())

    async def _poll(self) -> None:
        while True:
            try:
                await self._ask()
            except ExportctlError as error:
                self.fail(error)
                await asyncio.sleep(error.retry_after or 0.0)
            else:
                self.fail(None)
            await asyncio.sleep(self.poll_interval)

    async def _ask(self) -> None:
        """Ask for the histories where nothing is pushed, and for the jobs that they did not tell of."""
        heard: set[str] = set()
        if not self._is_pushed:
            for project_id in self.projects:
                jobs = await self.api.history(project_id)
                heard |= {job.id for job in jobs}
                self.tell([_of(job, project_id) for job in jobs])
        left = [(project_id, job_id) for project_id, job_id in self.unfinished() if job_id not in heard]
        async with asyncio.TaskGroup() as group:
            for project, job_id in left:
                group.create_task(self._look(project, job_id))

    async def _look(self, project_id: str | None, job_id: str) -> None:
        async with self._gate:
            try:
                self.tell([_of(await self.api.status(project_id, job_id, attempts=1), project_id)])
            except NotFound:
                return
            except ExportctlError as error:
                self.fail(error)

    async def _listen(self) -> None:
        attempt = 0
        while True:
            try:
                async with open_socket(self.api.http, self.api.server) as socket:
                    await self._hear(socket)
            except (SocketLost, ExportctlError):  # the polls say what is wrong, where it is more than the socket
                attempt = 0 if self._is_pushed else attempt + 1
            finally:
                self._is_pushed = False
            await asyncio.sleep(backoff(attempt, first=_RETRY_FIRST, most=_RETRY_MOST, jitter=self.jitter()))

    async def _hear(self, socket: Socket) -> None:
        """Ask for the histories over the socket, and tell what is pushed from then on. Raises `SocketLost`."""
        calls = Calls()
        subscribing = asyncio.create_task(self._subscribe(calls, socket))
        try:
            while True:
                told = await socket.receive()
                calls.heard()
                for one in told:
                    if isinstance(one, AckReceived):
                        calls.answer(one)
                    elif one.name == "export:history" and one.args:
                        self._push(one.args[0])
        finally:
            subscribing.cancel()
            await asyncio.gather(subscribing, return_exceptions=True)  # polls go on where it could not be heard

    async def _subscribe(self, calls: Calls, socket: Socket) -> None:
        for project_id in self.projects:
            answer = await calls.call(socket, "export:history", {"projectId": project_id, "limit": LIMIT})
            jobs = answer.get("jobs")
            if reading.flag(answer, "ok") is not True or not isinstance(jobs, list):
                return
            self.tell([_of(read_status(job, ""), project_id) for job in jobs if isinstance(job, dict)])
        self._is_pushed = True

    def _push(self, data: object) -> None:
        job = data.get("job") if isinstance(data, dict) else None
        if isinstance(job, dict):
            self.tell([read_status(job, "")])


def _of(job: JobStatus, project_id: str | None) -> JobStatus:
    return job if job.project_id is not None else replace(job, project_id=project_id)
