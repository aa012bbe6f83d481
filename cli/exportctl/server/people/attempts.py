"""How often one may guess: so many failures in a window of time, then even the right password is refused for a while.

Counted for an address and email together, so that nobody locks another out by guessing, and for an address alone, so
that nobody tries one password on all emails.
"""

import math
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 15 * 60
FAILURES_FOR_EMAIL = 20
FAILURES_FOR_ADDRESS = 100
_MOST_KEYS = 10_000


class Attempts:
    """Failed sign-ins, in memory. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, ...], deque[float]] = {}

    def wait(self, address: str, email: str) -> int:
        """Return the seconds until one may try again, 0 for now."""
        keys = (((address, email), FAILURES_FOR_EMAIL), ((address,), FAILURES_FOR_ADDRESS))
        return max(self._wait(key, most) for key, most in keys)

    def failed(self, address: str, email: str) -> None:
        """Note a failure."""
        for key in ((address, email), (address,)):
            failures = self._failures.pop(key, None) or deque(maxlen=FAILURES_FOR_ADDRESS)
            failures.append(self._clock())
            self._failures[key] = failures
        while len(self._failures) > _MOST_KEYS:
            # The one that failed longest ago: a key is put last whenever it fails.
            self._failures.pop(next(iter(self._failures)))

    def _wait(self, key: tuple[str, ...], most: int) -> int:
        failures = self._failures.get(key)
        if failures is None or len(failures) < most:
            return 0
        return max(0, math.ceil(failures[-most] + WINDOW_SECONDS - self._clock()))
