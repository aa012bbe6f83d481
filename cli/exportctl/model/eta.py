"""How long a phase still takes, from what was told of it so far. Pure: times are arguments, monotonic seconds.

While the share of the whole rises it is believed: what is left goes as fast as the whole did, and as the latest half
did. A share that stands still while a stage counts on (protocol 1 goes backwards, `WIRE.md`, oddity 2) says nothing,
and the stages' own throughput does. Where neither is known there is no estimate, which is shown as such: a wild number
is worse than none.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from exportctl.protocol.events import StageProgress

_EARLIEST: Final = 1.0
"""Seconds of a job before which no rate is one."""
_LEAST: Final = 3.0
"""Per cent before which the share says nothing."""
_MEMORY: Final = 0.5
"""Of a job's age: what the latest rate remembers."""
_STALLED: Final = 0.2
"""Of a job's age, without a rise of the share: it is no measure."""
_SILENT: Final = 0.35
"""Of a job's age, without a count: what is done has no measure."""
_WHOLE: Final = 100.0


@dataclass(slots=True, kw_only=True)
class Throughput:
    """A rate, smoothed over a time that grows with what was seen: neither a hiccup nor the distant past decides."""

    began: float
    first: float = 0.0
    at: float = field(init=False)
    amount: float = field(init=False)
    _recent: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.at, self.amount = self.began, self.first

    def take(self, now: float, amount: float) -> None:
        """Note how much is done by now."""
        passed, gained = now - self.at, amount - self.amount
        if passed <= 0 or gained <= 0:
            return
        weight = 1 - math.exp(-passed / max(_MEMORY * (now - self.began), _EARLIEST / 2))
        rate = gained / passed
        self._recent = rate if self._recent is None else self._recent + weight * (rate - self._recent)
        self.at, self.amount = now, amount

    def rate(self) -> float | None:
        """Return the rate a second; None until there is one."""
        if self._recent is None or self.at <= self.began:
            return None
        return (self._recent + (self.amount - self.first) / (self.at - self.began)) / 2

    def left(self, now: float, whole: float) -> float | None:
        """Return the seconds until `whole` is done, None while that cannot be said."""
        rate = self.rate()
        return None if rate is None else max((whole - self.amount) / rate - (now - self.at), 0.0)


@dataclass(slots=True, kw_only=True)
class Estimate:
    """One job's phase. `take` what was told, in order; `left` is what to say."""

    began: float
    _share: Throughput = field(init=False)
    _stages: dict[str, tuple[Throughput, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._share = Throughput(began=self.began)

    def take(self, now: float, progress: float | None, stage: str | None, counts: StageProgress | None) -> None:
        """Note one event."""
        if progress is not None:
            self._share.take(now, progress)
        if stage is not None and counts is not None and counts.total > 0:
            pace, _ = self._stages.get(stage) or (Throughput(began=now, first=counts.current), 0)
            pace.take(now, counts.current)
            self._stages[stage] = (pace, counts.total)

    def left(self, now: float) -> float | None:
        """Return the seconds that the phase still takes; None while that is not known."""
        age = now - self.began
        if age < _EARLIEST:
            return None
        if self._share.amount >= _LEAST and now - self._share.at <= _STALLED * age:
            return self._share.left(now, _WHOLE)
        running = [
            pace.left(now, total)
            for pace, total in self._stages.values()
            if pace.amount < total and now - pace.at <= _SILENT * age
        ]
        known = [seconds for seconds in running if seconds is not None]
        return max(known, default=None)
