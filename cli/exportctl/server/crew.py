"""Worker processes of one generation: made, and ended, all at once.

They are forked from a clean process that has the image libraries loaded, so that a new worker costs milliseconds. They
never outlive the server, whatever ends it, SIGKILL included, and Ctrl-C does not reach them.
"""

import multiprocessing
import os
import signal
import threading
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

    def kill(self) -> None:
        """End every worker now, whatever it does."""


class ProcessCrew:
    """Workers as local processes, forked from a clean process that has the image libraries loaded."""

    def __init__(self, workers: int) -> None:
        self._context = _RememberingContext()
        self._context.set_forkserver_preload(PRELOADED)
        name_semaphores()
        self._executor = ProcessPoolExecutor(workers, self._context, _begin_worker)

    @property
    def executor(self) -> Executor:
        """Where tasks are submitted."""
        return self._executor

    def kill(self) -> None:
        """End every worker now, whatever it does."""
        # All of them: one that is left waits for ever for a lock that another one took along.
        for process in self._context.made:
            if process.pid is not None:
                process.kill()


class _RememberingContext(ForkServerContext):
    """A context that knows the processes it made: an executor tells nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[ForkServerProcess] = []

    def Process(  # type: ignore[override]  # noqa: N802 - the name is theirs, and executors only call it
        self, *args: Any, **options: Any
    ) -> ForkServerProcess:
        """Make a process, and remember it."""
        process = ForkServerProcess(*args, **options)
        self.made.append(process)
        return process


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
