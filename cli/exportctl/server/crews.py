"""The generations of workers: one at a time, started on a thread, and again and again where that fails."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Final

from exportctl.server.crew import Crew
from exportctl.server.logs import facts

logger = logging.getLogger(__name__)

LOST: Final = "workers were lost"
_PAUSES: Final = (0.1, 1, 5, 30)
"""Seconds until workers that could not be started are tried again; the last one again and again."""
_SLOW: Final = 15.0
"""Seconds without workers from which on nothing is well."""
_DYING: Final = 1.0
"""Seconds that ended workers may take to be gone before others are started."""


class Crews:
    """Have a crew where one is wanted, and tell `on_start` of each. Call `close` last."""

    def __init__(self, make: Callable[[], Crew], on_start: Callable[[], None]) -> None:
        self.current: Crew | None = None
        self._make = make
        self._on_start = on_start
        self._starting: asyncio.Task[None] | None = None
        self._fault = ""
        self._without = 0.0
        self._retired: deque[Crew] = deque(maxlen=4)

    def begin(self) -> "asyncio.Task[None]":
        """Start another crew, if that has not begun; the task is done when it is there."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return self._starting

    def retire(self, crew: Crew, fault: str = "") -> None:
        """End the workers, whatever they do; `fault`: what is wrong until others are there."""
        crew.kill()
        self.current, self._fault = None, fault
        # Kept for a while: a worker that is only just starting needs the semaphores that would go with it.
        self._retired.append(crew)

    def pass_time(self, seconds: float) -> None:
        """Note that this much time has passed without workers."""
        self._without += seconds

    def trouble(self) -> str:
        """Say why no task can run now, "" where one can; nothing is started for that."""
        if self.current is not None:
            return LOST if self.current.is_lost() else ""
        return "workers do not start" if self._without >= _SLOW and not self._fault else self._fault

    async def close(self) -> None:
        """End all workers at once, those that are only just starting too."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self.current is not None:
            self.retire(self.current)

    async def _start(self) -> None:
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            self.current = await self._started()
            if self.current is not None:
                break
            await asyncio.sleep(pause)
        self._starting, self._fault, self._without = None, "", 0.0
        self._on_start()

    async def _started(self) -> Crew | None:
        crew = None
        try:
            crew = self._make()
            # Starting processes blocks, and most where what they are forked from is to be started too.
            await asyncio.to_thread(self._start_after_others, crew)
        except BaseException as error:
            if crew is not None:
                crew.kill()
            if not isinstance(error, Exception):
                raise
            why = _told(error)
            self._fault = f"workers cannot be started: {why}"
            logger.warning("No workers can be started: %s", why, extra=facts(event="workers-missing"))
            return None
        return crew

    def _start_after_others(self, crew: Crew) -> None:
        # A task that is done again is not to meet itself.
        for other in [*self._retired]:
            other.is_gone(_DYING)
        crew.start()


def _told(error: Exception) -> str:
    if isinstance(error, BrokenExecutor):
        return "they end at once"
    return getattr(error, "strerror", None) or type(error).__name__
