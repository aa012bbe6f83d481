"""How long a phase still takes, from what was told of it so far. Pure: times are arguments, monotonic seconds.

`Throughput` is for what goes on evenly, a download above all. `Estimate` is for the stages of a job whose server says
nothing of time (protocol 1). The percentage is no measure there, it goes backwards (`WIRE.md`, oddity 2): each stage
has a weight, the time it usually takes beside the others, from an earlier job where one is known (`Usual`); what was
done so far tells how long a unit of weight takes, the images counted within a stage how long that stage takes. Where
nothing is known, or a stage takes much longer than foreseen, there is no estimate, which is shown as such: a wild
number is worse than none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from exportctl.protocol.events import StageProgress

WEIGHTS: Final[Mapping[str, float]] = {
    "images": 0.2,
    "metrics": 0.14,
    "visualizations": 1.0,
    "annotations": 0.02,
    "compression": 0.375,
}
"""The time of each stage, that of the visualizations being 1 (measured on the tuning runs of `tests/bench/eta.py`)."""
_LAST: Final = "compression"
"""Begins when all others are done, and counts nothing."""
_UNNAMED: Final = "metrics"
"""The stage whose end protocol 1 tells without a name."""
_UNKNOWN: Final = 0.1
"""The weight of a stage of another name."""
_EARLIEST: Final = 0.5
"""Seconds of a job before which no rate is one."""
_LEAST: Final = 0.05
"""Of all work: less than this says nothing."""
_BEGUN: Final = 5.0
"""Per cent that protocol 1 tells before any stage is done."""
_USUAL: Final = 0.25
"""Of all work: what an earlier job counts for beside what is seen of this one."""
_LATE: Final = 2.0
"""Times as long as foreseen without a sign: nothing is known any more."""
_MEMORY: Final = 0.5
"""Of the time so far: what the latest rate remembers."""
_TICK: Final = 1e-9
"""Seconds that a clock tells apart: in less than that there is no rate."""
_STALLED: Final = 0.2
"""Of a job's age, without a rise of the share: it is no measure."""
_STEADY: Final = 0.15
"""Of a job's age: the time over which a stage must have counted."""
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
        if passed < _TICK or gained <= 0:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What an earlier job of the same server took: seconds by stage, of so many images (0 where that is not known)."""

    seconds: Mapping[str, float]
    images: int


def wanted_of(options: object) -> frozenset[str] | None:
    """Return the stages that an `options` object of the wire asks for; None where it is none."""
    if not isinstance(options, Mapping):
        return None
    keys = {
        "images": "includeOriginalImages",
        "visualizations": "includeVisualizations",
        "annotations": "annotationFormats",
        "metrics": "metricsFormats",
    }
    # What is not said is as the server wants it, so it may come.
    return frozenset(name for name, key in keys.items() if options.get(key, True)) | {_LAST}


@dataclass(slots=True, kw_only=True)
class _Stage:
    """How far one stage is, 0 to 1, and its pace in images a second where it counts them."""

    done: float = 0.0
    pace: Throughput | None = None
    images: int = 0

    def seconds(self) -> float | None:
        """Return what the whole stage takes at its own pace, None where that is not known."""
        rate = None if self.pace is None else self.pace.rate()
        return None if not rate else self.images / rate

    def span(self) -> float:
        """Return the seconds over which its pace was seen."""
        return 0.0 if self.pace is None else self.pace.at - self.pace.began


@dataclass(slots=True, kw_only=True)
class Estimate:
    """One job's processing. `take` what was told, in order; `left` is what to say.

    `wanted` are the stages that were asked for, None where that is not known; `usual` an earlier job. `is_joined`: it
    ran already when it was first heard of. `spent` is what the stages took so far: seconds from one sign of progress to
    the next, counted for the stage that gave it.
    """

    began: float
    wanted: frozenset[str] | None = None
    usual: Usual | None = None
    is_joined: bool = False
    spent: dict[str, float] = field(init=False, default_factory=dict)
    images: int = field(init=False, default=0)
    _share: Throughput = field(init=False)
    _stages: dict[str, _Stage] = field(init=False, default_factory=dict)
    _signed_at: float = field(init=False)
    """When something was last seen to be done."""
    _before: Mapping[str, float] = field(init=False, default_factory=dict)
    """What was done of each stage before it was joined."""

    def __post_init__(self) -> None:
        self._share, self._signed_at = Throughput(began=self.began), self.began

    def take(self, now: float, progress: float | None, stage: str | None, counts: StageProgress | None) -> None:
        """Note one event."""
        has_risen = progress is not None and progress > self._share.amount
        if progress is not None:
            self._share.take(now, progress)
        if stage == _LAST:
            self._compress(now, progress)
        elif stage is not None and counts is not None and counts.total > 0:
            self._count(now, stage, counts)
        elif has_risen and progress is not None and progress > _BEGUN and (stage is not None or self._stages):
            self._sign(now, stage or _UNNAMED, 1.0)

    def left(self, now: float) -> float | None:
        """Return the seconds that the phase still takes; None while that is not known."""
        age = now - self.began
        weights = self._weights()
        whole = sum(weights.values())
        seen = sum(weight * (self._done(name) - self._before.get(name, 0.0)) for name, weight in weights.items())
        if self.usual is None and (age < _EARLIEST or seen < _LEAST * whole):
            is_measure = self._share.amount > _BEGUN and now - self._share.at <= _STALLED * age
            return self._share.left(now, _WHOLE) if age >= _EARLIEST and not self._stages and is_measure else None
        held = 0.0 if self.usual is None else _USUAL * whole
        unit = (self._signed_at - self.began + held) / (seen + held)
        before, last = 0.0, weights[_LAST] * unit
        # What counts its images steadily is the surest measure; in a burst only the telling was held up.
        steady = {name: one for name, one in self._stages.items() if one.span() >= _STEADY * age}
        own = {name: seconds for name, one in steady.items() if (seconds := one.seconds())}
        part = sum(weights[name] for name in own)
        if part >= _LEAST * whole:
            # All together: a stage that is quick by its weight and slow here says little of the others.
            unit = math.sqrt(unit * sum(own.values()) / part)
            last = weights[_LAST] * unit
        for name, weight in weights.items():
            if name != _LAST:
                before += (1 - self._done(name)) * (own.get(name) or weight * unit)
        waited = now - self._signed_at
        if waited > _EARLIEST + _LATE * (before or last):
            return None
        return max(before - waited, 0.0) + last if before else max(last * (1 - self._done(_LAST)) - waited, 0.0)

    def learned(self, now: float) -> Usual | None:
        """Return what a later job of the project can know of this one, done now; None where too little was seen."""
        if not self.images or _LAST not in self._stages or self.is_joined:
            return None
        self._sign(now, _LAST, 1.0)
        return Usual(seconds=dict(self.spent), images=self.images)

    def _weights(self) -> dict[str, float]:
        """Return how long each stage of this job usually takes beside the others; seconds where that is known."""
        known = {name: weight for name, weight in WEIGHTS.items() if self.wanted is None or name in self.wanted}
        known |= {name: WEIGHTS.get(name, _UNKNOWN) for name in self._stages if name not in known}
        known.setdefault(_LAST, WEIGHTS[_LAST])
        if self.usual is None:
            return known
        larger = self.images / self.usual.images if self.images and self.usual.images else 1.0
        seconds = self.usual.seconds
        unit = sum(seconds.values()) / sum(WEIGHTS.get(name, _UNKNOWN) for name in seconds)
        return {name: max(seconds.get(name, weight * unit), 1e-3) * larger for name, weight in known.items()}

    def _done(self, name: str) -> float:
        stage = self._stages.get(name)
        return 0.0 if stage is None else stage.done

    def _count(self, now: float, name: str, counts: StageProgress) -> None:
        stage = self._stages.setdefault(name, _Stage())
        if stage.pace is None:
            stage.pace = Throughput(began=now, first=counts.current)
        stage.pace.take(now, counts.current)
        stage.images = counts.total
        self.images = max(self.images, counts.total)
        self._sign(now, name, min(counts.current / counts.total, 1.0))

    def _compress(self, now: float, progress: float | None) -> None:
        """Note that all is being packed, and so is done."""
        if _LAST not in self._stages:
            for name in self._weights():
                if name != _LAST and self._done(name) < 1:
                    self._sign(now, name, 1.0)
            self._stages[_LAST] = _Stage()
        elif progress is not None and progress >= _WHOLE:
            self._sign(now, _LAST, 1.0)

    def _join(self, now: float, name: str, done: float) -> None:
        """Note how far a job was when it was joined: the stages that go before this one are done."""
        order = list(WEIGHTS)
        ahead = order[: order.index(name)] if name in order else []
        self._before = {**dict.fromkeys(ahead, 1.0), name: done}
        self._stages |= {stage: _Stage(done=share) for stage, share in self._before.items() if stage != name}
        self.began = self._signed_at = now

    def _sign(self, now: float, name: str, done: float) -> None:
        if self.is_joined and not self._before:
            self._join(now, name, done)
        stage = self._stages.setdefault(name, _Stage())
        if done > stage.done:
            stage.done = done
            self.spent[name] = self.spent.get(name, 0.0) + now - self._signed_at
            self._signed_at = now
