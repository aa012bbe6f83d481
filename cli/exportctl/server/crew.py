"""Worker processes of one generation: made, and ended, all at once.

They are forked from a clean process that has the image libraries loaded, so that a new worker costs milliseconds. They
never outlive the server, whatever ends it, SIGKILL included, and Ctrl-C does not reach them.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, Final, Protocol

from exportctl.server.semaphores import name_semaphores

PRELOADED = ["exportctl.server.export.tasks", "exportctl.server.export.overlay"]
"""Imported once by the process that workers are forked from, so that a new worker costs milliseconds."""


_NICE: Final = 5
"""Where image work takes all cores, whoever asks the server something should not wait for a core."""


class Crew(Protocol):
    """One generation of workers: an executor, and the way to end its processes at once."""

    @property
    def executor(self) -> Executor:
        """Where tasks are submitted."""

    def start(self) -> None:
        """Start the workers, and wait until they work; raises what keeps them from it. From another thread."""

    def kill(self) -> None:
        """End every worker now, whatever it does."""

    def is_lost(self) -> bool:
        """Say whether a worker has ended."""

    def is_gone(self, seconds: float) -> bool:
        """Wait until every worker has ended; False when the time is up."""


class ProcessCrew:
    """Workers as local processes, forked from a clean process that has the image libraries loaded."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context = _RememberingContext()
        self._context.set_forkserver_preload(PRELOADED)
        self._killed = False
        name_semaphores()
        self._executor = ProcessPoolExecutor(workers, self._context, _begin_worker)
        self._answers = self._executor._result_queue._writer  # type: ignore[attr-defined]  # noqa: SLF001 - see `kill`

    @property
    def executor(self) -> Executor:
        """Where tasks are submitted."""
        return self._executor

    def start(self) -> None:
        """Start the workers, and wait until they work; raises what keeps them from it. From another thread."""
        try:
            for future in [self._executor.submit(os.getpid) for _ in range(self._workers)]:
                future.result()
        finally:
            if self._killed:
                # Those that came into being since.
                self.kill()

    def kill(self) -> None:
        """End every worker now, whatever it does."""
        self._killed = True
        # All of them: one that is left waits for ever for a lock that another one took along. By number: where the
        # process they were forked from was killed, they are taken for dead, and work on.
        for pid, _ in self._context.begun():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A worker that died while it answered leaves half an answer: who reads it waits for the rest until nobody can
        # write it any more, and this process could.
        self._answers.close()

    def is_lost(self) -> bool:
        """Say whether a worker has ended."""
        return bool(wait([sentinel for _, sentinel in self._context.begun()], 0))

    def is_gone(self, seconds: float) -> bool:
        """Wait until every worker has ended; False when the time is up."""
        until = time.monotonic() + seconds
        left = {sentinel for _, sentinel in self._context.begun()}
        while left and time.monotonic() < until:
            left -= {*wait(left, until - time.monotonic())}
        return not left


class _RememberingContext(ForkServerContext):
    """A context that knows the processes it made: an executor tells nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[ForkServerProcess] = []

    def Process(  # type: ignore[override]  # noqa: N802 - the name is theirs, and executors only call it
        self, *args: Any, **options: Any
    ) -> ForkServerProcess:
        """Make a process, and remember it."""
        process = ForkServerProcess(*args, **options)
        self._made.append(process)
        return process

    def begun(self) -> list[tuple[int, int]]:
        """Return number and sentinel of the processes that were started."""
        return [(process.pid, process.sentinel) for process in self._made if process.pid is not None]


def _begin_worker() -> None:
    """Make this worker one that Ctrl-C does not reach, that ends with its server and lets its answers go first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    server = multiprocessing.parent_process()
    if server is not None:
        threading.Thread(target=_end_with, args=(server.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
