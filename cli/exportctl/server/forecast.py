"""How long a job still takes: what is left to do, at the pace of what was done. Pure: times are arguments.

Work is counted in expected efforts (`export.effort`), by groups of like steps. Of the steps that are out the oldest are
taken to have the hands there are, and the time until a step is in the archive is what it cost; so whatever holds a job
up, the machine's load, the disk, other jobs, shows in the costs. What a group's steps cost tells how far its
expectation is off; the latest weigh most, since a machine may be shared. A group of which nothing is known yet is taken
to be off as the others are. Until most of what is left is of groups of which more steps ended than the first of every
hand, nothing is said for a while: a wild number is worse than none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_EARLIEST: Final = 1.0
"""Seconds of work before which nothing is said."""
_MEMORY: Final = 0.5
"""Of the time worked so far: after this long a measurement weighs a third (1/e)."""
_LEAST_MEMORY: Final = 2.0
_KNOWN: Final = 0.5
"""Of what is left: the part whose groups must have been seen."""
_PATIENCE: Final = 3.0
"""Seconds after which what was seen must do."""
_COLD: Final = 0.1
"""What the first steps of a group count for, one for each hand: libraries are loaded for them."""
_OVERDUE: Final = 0.1
"""Of its cost: what a step that takes longer than that is taken to have before it."""


@dataclass(slots=True, kw_only=True)
class _Group:
    """Steps of one kind: what all and the ended ones were expected to cost; what ended ones did, faded by age."""

    whole: float
    done: float = 0.0
    begun: int = 0
    ended: int = 0
    expected: float = 0.0
    cost: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Step:
    group: _Group
    effort: float
    weight: float
    since: float | None = None
    """When it got a hand."""


@dataclass(slots=True, kw_only=True)
class Forecast:
    """One job's. `began` in monotonic seconds; `hands`: workers; `efforts` by group, all steps together."""

    began: float
    hands: int
    efforts: Mapping[str, float]
    _groups: dict[str, _Group] = field(init=False)
    _out: dict[int, _Step] = field(init=False, default_factory=dict)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._at = self.began
        self._groups = {name: _Group(whole=whole) for name, whole in self.efforts.items()}

    def skip(self, group: str, effort: float) -> None:
        """Note a step that an earlier server did."""
        self._groups[group].done += effort

    def begin(self, now: float, number: int, group: str, effort: float) -> None:
        """Note that a step is out."""
        of = self._groups[group]
        of.begun += 1
        weight = _COLD if of.begun <= self.hands else 1.0
        self._out[number] = _Step(group=of, effort=effort, weight=weight)
        self._hand_out(now)

    def end(self, now: float, number: int, effort: float | None = None) -> None:
        """Note that a step is done, whose effort may be known only now."""
        step = self._out.pop(number)
        self._fade(now)
        step.group.ended += 1
        expected = step.effort if effort is None else effort
        step.group.done += expected
        step.group.expected += expected * step.weight
        # One that was done before its turn came had a hand all the same, for who knows how long.
        step.group.cost += 0.0 if step.since is None else (now - step.since) * step.weight
        self._hand_out(now)

    def left(self, now: float) -> float | None:
        """Return the seconds left; None until that can be known."""
        worked = now - self.began
        groups = self._groups.values()
        expected, cost = sum(one.expected for one in groups), sum(one.cost for one in groups)
        if worked < _EARLIEST or not expected or not cost:
            return None
        rest = {name: max(one.whole - one.done, 0.0) for name, one in self._groups.items()}
        seen = sum(rest[name] for name, one in self._groups.items() if one.ended > self.hands)
        if seen < _KNOWN * sum(rest.values()) and worked < _PATIENCE:
            return None
        off = cost / expected
        left = sum(rest[name] * _off(one, off) for name, one in self._groups.items())
        longest = 0.0
        for step in self._out.values():
            if step.since is not None:
                whole = step.effort * _off(step.group, off)
                ahead = max(whole - (now - step.since), _OVERDUE * whole)
                left -= whole - ahead
                longest = max(longest, ahead)
        return max(left / self.hands, longest)

    def _hand_out(self, now: float) -> None:
        for step in list(self._out.values())[: self.hands]:
            if step.since is None:
                step.since = now

    def _fade(self, now: float) -> None:
        """Let what was measured weigh less, the more time has passed since."""
        passed = max(now - self._at, 0.0)
        keeps = math.exp(-passed / max(_MEMORY * (now - self.began), _LEAST_MEMORY))
        for group in self._groups.values():
            group.expected *= keeps
            group.cost *= keeps
        self._at = now


def _off(group: _Group, others: float) -> float:
    """Return the seconds a hand needs for a unit of expected effort."""
    return group.cost / group.expected if group.expected and group.cost else others
