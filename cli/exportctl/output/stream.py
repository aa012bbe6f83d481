"""The one stream of a command's lines: it numbers them, keeps the time, and hands each to every sink.

`seq` is 1, 2, 3 … without a gap, `elapsed` monotonic. Clocks are arguments: `monotonic()` in
seconds, `now()` a UTC time.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from exportctl.model.lines import Line, Numbered


class Sink(Protocol):
    """What consumes lines."""

    def take(self, numbered: Numbered) -> None:
        """Take one line; write it, or keep what the next drawing needs."""

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

    def __post_init__(self) -> None:
        self.began = self.told_at = self.monotonic()

    def tell(self, line: Line) -> None:
        """Give `line` its number and hand it to every sink."""
        self.told_at = self.monotonic()
        self.seq += 1
        numbered = Numbered(
            seq=self.seq,
            timestamp=line.timestamp or rfc3339(self.now()),
            elapsed=round(self.told_at - self.began, 3),
            correlation_id=self.correlation_id,
            line=line,
        )
        for sink in self.sinks:
            sink.take(numbered)

    def tick(self) -> None:
        """Let every sink draw what is due."""
        for sink in self.sinks:
            sink.tick()

    def close(self) -> None:
        """Let every sink draw its last state."""
        with ExitStack() as every:  # one that cannot does not keep the others from it
            for sink in reversed(self.sinks):
                every.callback(sink.close)


def rfc3339(moment: datetime) -> str:
    """Return a UTC time as RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
