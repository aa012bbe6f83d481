"""How often one may guess: so many failures in a window of time, then even the right password is refused for a while.

Counted for an address and email together, so that nobody locks another out by guessing, for an address alone, so
that nobody tries one password on all emails, and for an email alone, so that nobody guesses from many addresses, or
such as a header makes up. The last does not count for an address from which that user signed in before. What one site
has of IPv6, a /64, is one address.
"""

import ipaddress
import math
from collections import deque
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

WINDOW_SECONDS = 15 * 60
FAILURES_FOR_EMAIL = 20
FAILURES_FOR_ADDRESS = FAILURES_FROM_ANYWHERE = 100
_MOST_KEYS = 10_000
_ANYWHERE = "*"


class Attempts:
    """Failed sign-ins, in memory. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, ...], deque[float]] = {}
        self._good: dict[tuple[str, str], None] = {}

    def wait(self, address: str, email: str) -> int:
        """Return the seconds until one may try again, 0 for now."""
        place = _place(address)
        keys = [((place, email), FAILURES_FOR_EMAIL), ((place,), FAILURES_FOR_ADDRESS)]
        if (place, email) not in self._good:
            keys.append(((_ANYWHERE, email), FAILURES_FROM_ANYWHERE))
        return max(self._wait(key, most) for key, most in keys)

    def succeeded(self, address: str, email: str) -> None:
        """Note that the user signed in from there."""
        _put_last(self._good, (_place(address), email), None)

    def failed(self, address: str, email: str) -> None:
        """Note a failure."""
        place = _place(address)
        for key in ((place, email), (place,), (_ANYWHERE, email)):
            failures = self._failures.get(key) or deque(maxlen=FAILURES_FOR_ADDRESS)
            failures.append(self._clock())
            _put_last(self._failures, key, failures)

    def _wait(self, key: tuple[str, ...], most: int) -> int:
        failures = self._failures.get(key)
        if failures is None or len(failures) < most:
            return 0
        return max(0, math.ceil(failures[-most] + WINDOW_SECONDS - self._clock()))


def _put_last(known: dict[K, V], key: K, value: V) -> None:
    """Remember a key, and forget the one that was put here longest ago where there are too many."""
    known.pop(key, None)
    known[key] = value
    while len(known) > _MOST_KEYS:
        known.pop(next(iter(known)))


def _place(address: str) -> str:
    """Return what counts as one address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed.packed, 64), strict=False))  # noqa: PLR2004 - of IP
