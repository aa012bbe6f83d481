"""Worker processes shared fairly by all jobs, whose work can be taken back.

Promises, from `DESIGN.md` ("Work can run twice"):

- No task of a cancelled job begins. A future that an executor calls "running" may still lie in its queue, so a task
  looks for its job's gate, a file, before it begins, and `cancel` is called after the gate was taken away.
- A task still running a second after `cancel` loses its process, and so does one that takes longer than its limit. The
  executor is lost with it: another is made, and the other tasks are submitted again. Tasks may run twice.
- A worker that dies by itself takes the executor along, and nobody can say which task killed it. Each of those that
  were submitted is tried once more, alone: the one that kills its worker again is the culprit, and only it fails.
- Workers that cannot be started are tried again, ever less often; tasks wait meanwhile.
- Workers never outlive the server, whatever ends it, SIGKILL included.

At most twice as many tasks as workers are handed out at once; users take turns, and among one user's jobs the jobs do.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from exportctl.server.crew import Crew, ProcessCrew
from exportctl.server.crews import LOST, Crews
from exportctl.server.logs import facts
from exportctl.server.turns import Line

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOOK: Final = 1.0
"""Seconds between two looks after the workers."""


class WorkerDiedError(Exception):
    """The task's process died, and died again when the task was tried alone (killed for its memory, say)."""


class TaskTooLongError(Exception):
    """The task took longer than `limit` seconds, so its process was ended."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"A task took longer than {limit:g} s")
        self.limit = limit


class WithdrawnError(Exception):
    """The task did not begin, because its job's gate was gone."""


def _run_behind(gate: str, work: Callable[[], T]) -> T:
    if not Path(gate).exists():
        raise WithdrawnError
    return work()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Whose tasks they are: of which user's which job. No task begins once the file `gate` is gone."""

    user: str
    job: str
    gate: Path


@dataclass(eq=False, slots=True)
class _Call:
    user: str
    job: str
    work: Callable[[], Any]
    limit: float
    result: asyncio.Future[Any]
    future: Future[Any] | None = None
    spent: float = 0.0
    suspect: bool = False


class Pool:
    """Run tasks of many jobs on `workers` processes. Only from the event loop's thread.

    Have `watch` run beside it, and call `close` last.
    """

    def __init__(self, workers: int, *, grace: float = 1.0, make_crew: Callable[[int], Crew] = ProcessCrew) -> None:
        self.workers = workers
        self.slots = 2 * workers
        self._grace = grace
        self._crews = Crews(functools.partial(make_crew, workers), self._dispatch)
        self._waiting: Line[_Call] = Line()
        self._suspects: deque[_Call] = deque()
        # A dictionary for its order: that of submission.
        self._running: dict[_Call, None] = {}
        self._closed = False
        self._lost = 0
        self._news = asyncio.Event()

    async def warm(self) -> None:
        """Start the workers before they are needed; returns when they are there."""
        if self._crews.current is None and not self._closed:
            await asyncio.wait([self._crews.begin()])

    async def watch(self) -> None:
        """Look after the workers, for ever."""
        while True:
            await asyncio.sleep(_LOOK)
            self.look(_LOOK)

    def look(self, seconds: float) -> None:
        """Note that `seconds` have passed: tasks may have had their time, and workers may have died unnoticed.

        They are counted, not measured: a server that was stopped for a while, or is short of processor time, takes
        nothing from its tasks.
        """
        crew = self._crews.current
        if crew is None:
            self._crews.pass_time(seconds)
            return
        late = False
        for call in self._at_work():
            call.spent += seconds
            if call.spent > call.limit:
                late = True
                logger.warning("A task took too long", extra=facts(event="task-too-long", jobId=call.job))
                if not call.result.done():
                    call.result.set_exception(TaskTooLongError(call.limit))
        if late:
            self._replace(crew)
        elif crew.is_lost():
            # An executor without tasks tells nobody; one whose worker dies while it answers waits for the rest for
            # ever, and one whose worker dies while it starts may not look at it.
            self._lose(crew)

    async def run(self, share: Share, work: Callable[..., T], *args: object, limit: float = math.inf) -> T:
        """Run `work(*args)` in a worker when it is the job's turn, if the job's gate is there by then.

        `limit`: seconds that it may run. Raises what the work raises, WorkerDiedError, TaskTooLongError, or
        WithdrawnError.
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        guarded = functools.partial(_run_behind, str(share.gate), functools.partial(work, *args))
        call = _Call(share.user, share.job, guarded, limit, result)
        self._waiting.add(call.user, call.job, call)
        self._dispatch()
        try:
            return await result
        finally:
            self._withdraw(call)

    async def cancel(self, share: Share) -> None:
        """Return when no task of the job runs any more: those that take longer than the grace lose their process.

        The job's gate must be gone before.
        """
        job = share.job
        waiting = self._waiting.clear(share.user, job)
        for call in [*waiting, *(call for call in self._suspects if call.job == job)]:
            call.result.cancel()
        self._suspects = deque(call for call in self._suspects if call.job != job)
        if await self._ended(job):
            return
        crew = self._crews.current
        # Those that still wait behind others will not begin: the others need not be ended for them.
        if crew is not None and any(call.job == job for call in self._at_work()):
            self._replace(crew)
            while not await asyncio.to_thread(crew.is_gone, self._grace):
                logger.warning("Workers take long to end")

    def counts(self) -> dict[str, int]:
        """Count workers, tasks, and how often the workers were lost and replaced."""
        waiting = len(self._suspects) + len(self._waiting)
        return {"workers": self.workers, "running": len(self._running), "waiting": waiting, "lost": self._lost}

    def trouble(self) -> str:
        """Say why no task can run now, "" where one can; nothing is started for that."""
        return self._crews.trouble()

    async def close(self) -> None:
        """End all workers at once; what runs is lost."""
        self._closed = True
        await self._crews.close()
        for call in [*self._running, *self._suspects, *self._waiting.everything()]:
            call.result.cancel()

    def _at_work(self) -> list[_Call]:
        """Return the calls that run: an executor hands them to its workers in order, so they are the first ones."""
        return [*itertools.islice(self._running, self.workers)]

    async def _ended(self, job: str) -> bool:
        """Wait until no task of the job is with an executor; False when the grace is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                while any(call.job == job for call in self._running):
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    def _withdraw(self, call: _Call) -> None:
        self._waiting.remove(call.user, call.job, call)
        if call in self._suspects:
            self._suspects.remove(call)
        # One that is with the executor stays there, and looks for its gate: an executor whose worker dies stumbles over
        # futures that were cancelled, and leaves the others waiting.

    def _dispatch(self) -> None:
        if self._crews.current is None and not self._closed:
            self._crews.begin()
        while (crew := self._crews.current) is not None and (call := self._next()) is not None:
            call.spent = 0.0
            self._running[call] = None
            try:
                call.future = crew.executor.submit(call.work)
            except Exception as error:  # noqa: BLE001 - broken since the last look, or a process cannot be started
                logger.debug("A task was not taken: %r", error)
                self._running.pop(call)
                self._requeue(call)
                self._lose(crew)
                return
            loop = asyncio.get_running_loop()
            call.future.add_done_callback(functools.partial(_tell, loop, self._done, call))

    def _next(self) -> _Call | None:
        if self._suspects:
            # Alone: with no other task out, whoever's worker dies is known.
            return None if self._running else self._suspects.popleft()
        if len(self._running) >= self.slots or any(call.suspect for call in self._running):
            return None
        return self._waiting.next()

    def _done(self, call: _Call, future: Future[Any]) -> None:
        if call.future is not future:
            return
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            if self._crews.current is not None:
                self._lose(self._crews.current)
            return
        self._running.pop(call)
        self._news.set()
        call.future = None
        if call.result.done():
            pass
        elif error is not None:
            call.result.set_exception(error)
        else:
            call.result.set_result(future.result())
        self._dispatch()

    def _requeue(self, call: _Call) -> None:
        if call.suspect:
            self._suspects.appendleft(call)
        else:
            self._waiting.add(call.user, call.job, call, first=True)

    def _lose(self, crew: Crew) -> None:
        """Replace workers of which one died by itself."""
        self._lost += 1
        logger.warning("Worker processes were lost, and are replaced", extra=facts(event="workers-lost"))
        for call in self._take_back(crew, LOST):
            if call.suspect:
                call.result.set_exception(WorkerDiedError())
            else:
                call.suspect = True
                self._suspects.append(call)
        self._dispatch()

    def _replace(self, crew: Crew) -> None:
        """Replace workers that did nothing wrong, for the sake of a task that is not to go on."""
        for call in reversed(self._take_back(crew)):
            self._requeue(call)
        self._dispatch()

    def _take_back(self, crew: Crew, fault: str = "") -> list[_Call]:
        """End the workers; returns the tasks they have not done, whose outcome is still wanted."""
        undone = []
        for call in [*self._running]:
            future = call.future
            if future is not None and future.done() and not isinstance(future.exception(), BrokenExecutor):
                continue  # it is about to be heard of
            del self._running[call]
            call.future = None
            if not call.result.done():
                undone.append(call)
        self._crews.retire(crew, fault)
        self._news.set()
        return undone


def _tell(
    loop: asyncio.AbstractEventLoop, done: Callable[[_Call, Future[Any]], None], call: _Call, future: Future[Any]
) -> None:
    # A loop that has ended wants no news.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(done, call, future)
