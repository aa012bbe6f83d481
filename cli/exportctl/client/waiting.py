"""Waits that news cut short, how long to wait after failures, and the notice of a machine that slept."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

LOOK_SECONDS: Final = 5.0
_SLEPT_SECONDS: Final = 10.0
"""What two clocks may drift apart between two looks on a busy machine whose time is being set."""

_MOST_DOUBLINGS: Final = 64
"""Beyond any `most`; the number of failures has no bound, a float has."""


def backoff(failures: int, *, first: float, most: float, jitter: float) -> float:
    """Return the seconds to wait after so many failures in a row.

    `first` doubled for each of them, up to `most`; of that between half and all, by `jitter` (0 to 1).
    """
    return min(most, first * 2.0 ** min(failures, _MOST_DOUBLINGS)) * (0.5 + jitter / 2)


async def sleep_or(sleep: Callable[[float], Awaitable[None]], seconds: float, news: asyncio.Event) -> None:
    """Sleep, at most until there is news."""
    if news.is_set():
        return
    sleeping, waiting = asyncio.ensure_future(sleep(seconds)), asyncio.ensure_future(news.wait())
    try:
        await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        waiting.cancel()
        await asyncio.gather(sleeping, waiting, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class Slumber:
    """Notices a laptop that slept: `wall` goes on meanwhile, `monotonic` stands still (on Linux and macOS alike)."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    _before: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self.wall(), self.monotonic()

    def has_slept(self) -> bool:
        """Return whether the clocks went apart since the last look."""
        wall, monotonic = self._before
        self._before = self.wall(), self.monotonic()
        return self._before[0] - wall - (self._before[1] - monotonic) > _SLEPT_SECONDS
