"""Worker processes shared fairly by all jobs, whose work can be taken back.

Promises, from `DESIGN.md` ("Work can run twice"):

- No task of a cancelled job begins. A future that an executor calls "running" may still lie in its queue, so a task
  looks for its job's gate, a file, before it begins, and `cancel` is called after the gate was taken away.
- A task still running a second after `cancel` loses its process. The executor is lost with it: another is made, and the
  other jobs' tasks are submitted again. Tasks may run twice.
- A worker that dies by itself takes the executor along, and nobody can say which task killed it. Each of those that
  were submitted is tried once more, alone: the one that kills its worker again is the culprit, and only it fails.
- Workers never outlive the server, whatever ends it, SIGKILL included.

At most twice as many tasks as workers are handed out at once; users take turns, and among one user's jobs the jobs do.
"""

import asyncio
import contextlib
import functools
import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from exportctl.server.crew import Crew, ProcessCrew
from exportctl.server.logs import facts
from exportctl.server.turns import Line

T = TypeVar("T")

logger = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """The task's process died, and died again when the task was tried alone (killed for its memory, say)."""


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
    result: asyncio.Future[Any]
    crew: Crew | None = None
    future: Future[Any] | None = None
    suspect: bool = False


class Pool:
    """Run tasks of many jobs on `workers` processes. Only from the event loop's thread. Call `close` last."""

    def __init__(self, workers: int, *, grace: float = 1.0, make_crew: Callable[[int], Crew] = ProcessCrew) -> None:
        self.workers = workers
        self.slots = 2 * workers
        self._grace = grace
        self._make_crew = make_crew
        self._crew: Crew | None = None
        self._condemned: set[Crew] = set()
        self._waiting: Line[_Call] = Line()
        self._suspects: deque[_Call] = deque()
        self._running: set[_Call] = set()
        self._retired: deque[Crew] = deque(maxlen=4)
        self._closed = False
        self._lost = 0
        self._news = asyncio.Event()

    async def warm(self) -> None:
        """Start the workers before they are needed."""
        crew = self._current()
        # Starting processes blocks; the executor's own lock makes it safe from another thread.
        futures = await asyncio.to_thread(lambda: [crew.executor.submit(os.getpid) for _ in range(self.workers)])
        await asyncio.gather(*map(asyncio.wrap_future, futures))

    async def run(self, share: Share, work: Callable[..., T], *args: object) -> T:
        """Run `work(*args)` in a worker when it is the job's turn, if the job's gate is there by then.

        Raises what the work raises, WorkerDiedError, or WithdrawnError.
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        guarded = functools.partial(_run_behind, str(share.gate), functools.partial(work, *args))
        call = _Call(share.user, share.job, guarded, result)
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
        if await self._ended(job, self._grace):
            return
        crews = {call.crew for call in self._running if call.job == job and call.crew is not None}
        for crew in crews:
            self._condemned.add(crew)
            crew.kill()
            if crew is self._crew:
                self._crew = None
        while not await self._ended(job, self._grace):
            logger.warning("Workers take long to end")
            for crew in crews:
                crew.kill()

    def counts(self) -> dict[str, int]:
        """Count workers, tasks, and how often the workers were lost and replaced."""
        waiting = len(self._suspects) + len(self._waiting)
        return {"workers": self.workers, "running": len(self._running), "waiting": waiting, "lost": self._lost}

    async def close(self) -> None:
        """End all workers at once; what runs is lost."""
        self._closed = True
        crews = {call.crew for call in self._running if call.crew is not None} | {self._crew}
        self._crew = None
        for crew in crews:
            if crew is not None:
                crew.kill()
                crew.executor.shutdown(wait=False, cancel_futures=True)
        for call in [*self._running, *self._suspects, *self._waiting.everything()]:
            call.result.cancel()

    def _current(self) -> Crew:
        if self._crew is None:
            self._crew = self._make_crew(self.workers)
        return self._crew

    async def _ended(self, job: str, seconds: float) -> bool:
        """Wait until no task of the job is with an executor; False when the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(call.job == job for call in self._running):
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    def _withdraw(self, call: _Call) -> None:
        self._waiting.remove(call.user, call.job, call)
        if call in self._suspects:
            self._suspects.remove(call)
        if call in self._running and call.future is not None:
            call.future.cancel()

    def _dispatch(self) -> None:
        while not self._closed and (call := self._next()) is not None:
            try:
                crew, future = self._submit(call)
            except RuntimeError as error:
                call.result.set_exception(error)
                continue
            call.crew, call.future = crew, future
            self._running.add(call)
            loop = asyncio.get_running_loop()
            future.add_done_callback(functools.partial(_tell, loop, self._done, call))

    def _submit(self, call: _Call) -> tuple[Crew, Future[Any]]:
        crew = self._current()
        try:
            return crew, crew.executor.submit(call.work)
        except BrokenExecutor:
            # It broke after the last look.
            self._lose(crew)
            crew = self._current()
            return crew, crew.executor.submit(call.work)

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
        self._running.discard(call)
        self._news.set()
        crew, call.future, call.crew = call.crew, None, None
        error = None if future.cancelled() else future.exception()
        if call.result.done():
            pass
        elif future.cancelled():
            call.result.cancel()
        elif isinstance(error, BrokenExecutor):
            self._broken(call, crew)
        elif error is not None:
            call.result.set_exception(error)
        else:
            call.result.set_result(future.result())
        if isinstance(error, BrokenExecutor) and crew is not None:
            self._lose(crew)
        self._dispatch()

    def _broken(self, call: _Call, crew: Crew | None) -> None:
        if crew in self._condemned or self._closed:
            self._requeue(call)
        elif call.suspect:
            call.result.set_exception(WorkerDiedError())
        else:
            call.suspect = True
            self._suspects.append(call)

    def _requeue(self, call: _Call) -> None:
        if call.suspect:
            self._suspects.appendleft(call)
        else:
            self._waiting.add(call.user, call.job, call, first=True)

    def _lose(self, crew: Crew) -> None:
        if crew not in self._retired and crew not in self._condemned and not self._closed:
            self._lost += 1
            logger.warning("Worker processes were lost, and are replaced", extra=facts(event="workers-lost"))
        if crew is self._crew:
            self._crew = None
        if crew not in self._retired:
            # Kept for a while: a worker that is only just starting needs the semaphores that would go with it.
            self._retired.append(crew)
        if not any(call.crew is crew for call in self._running):
            self._condemned.discard(crew)


def _tell(
    loop: asyncio.AbstractEventLoop, done: Callable[[_Call, Future[Any]], None], call: _Call, future: Future[Any]
) -> None:
    # A loop that has ended wants no news.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(done, call, future)
