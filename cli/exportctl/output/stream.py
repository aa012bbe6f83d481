"""The one stream of a command's lines: it numbers them, keeps the time, and hands each to every sink.

`seq` is 1, 2, 3 … without a gap, `elapsed` monotonic. Clocks are arguments: `monotonic()` in
seconds, `now()` a UTC time. Lines that are told `together`, of events that came at once, reach the sinks at once: one
write for a hundred of them, which was a tenth of all time (`tests/bench/follow.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from exportctl.model.lines import Line, Numbered

AT_ONCE: Final = 64
"""Lines that are handed on at once at most: with 235 the processor's cache no longer held them, and an event cost 8 µs
of processor time in the whole command, where it costs 5 (`tests/bench/follow.py`)."""


class Sink(Protocol):
    """What consumes lines."""

    def take(self, *numbered: Numbered) -> None:
        """Take lines; write them, or keep what the next drawing needs."""

    def tick(self) -> None:
        """Draw what is due. Called a few times a second while the command runs."""

    def close(self) -> None:
        """Draw the last state and leave the place clean. Called once."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """Where commands tell their lines."""

    sinks: Sequence[Sink]
    correlation_id: str
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    began: float = field(init=False)
    told_at: float = field(init=False)
    seq: int = field(init=False, default=0)
    is_over: bool = field(init=False, default=False)
    _elapsed: float = field(init=False, default=0.0)
    _held: list[Numbered] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.began = self.told_at = self.monotonic()

    def tell(self, line: Line) -> None:
        """Give `line` its number and hand it to every sink; nothing comes behind the last one."""
        if self.is_over:
            return
        held = self._held
        if held is None:
            self._look_at_clock()
        self.seq += 1
        numbered = Numbered(
            seq=self.seq,
            timestamp=line.timestamp or rfc3339(self.now()),
            elapsed=self._elapsed,
            correlation_id=self.correlation_id,
            line=line,
        )
        if held is not None:
            held.append(numbered)
            if len(held) == AT_ONCE:
                self._hand_on(held)
            return
        for sink in self.sinks:
            sink.take(numbered)

    def end(self) -> None:
        """Let what was told last be the last: the connection may still change while the command leaves."""
        self.is_over = True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hand on what is told meanwhile in order, many lines at once. Nobody may wait for anything within."""
        self._look_at_clock()
        held: list[Numbered] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            if held:
                self._hand_on(held)

    def tick(self) -> None:
        """Let every sink draw what is due."""
        for sink in self.sinks:
            sink.tick()

    def close(self) -> None:
        """Let every sink draw its last state."""
        with ExitStack() as every:  # one that cannot does not keep the others from it
            for sink in reversed(self.sinks):
                every.callback(sink.close)

    def _hand_on(self, held: list[Numbered]) -> None:
        lines = tuple(held)
        held.clear()
        for sink in self.sinks:
            sink.take(*lines)

    def _look_at_clock(self) -> None:
        self.told_at = self.monotonic()
        self._elapsed = round(self.told_at - self.began, 3)


def rfc3339(moment: datetime) -> str:
    """Return a UTC time as RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
