"""One order over socket, long poll and replay: a job's events by `seq`, each once, none before the one ahead of it.

Pure. What is already known is dropped and counted; what lies behind a gap is held until the gap is filled.
"""

from dataclasses import dataclass, field

from exportctl.protocol.events import Event

MAX_HELD = 10_000
"""Events held behind a gap; beyond it the latest are let go, since the log that fills the gap holds them too."""


@dataclass(slots=True, kw_only=True)
class Sequencer:
    """The cursor of one job: `cursor` is the number of the last event let through, `heard` the highest heard of."""

    cursor: int = 0
    heard: int = 0
    duplicates: int = 0
    _held: dict[int, Event] = field(default_factory=dict)

    def offer(self, event: Event) -> list[Event]:
        """Return the events to let through now, in order. One without a number is always let through."""
        seq = event.seq
        if seq is None:
            return [event]
        self.heard = max(self.heard, seq)
        if seq == self.cursor + 1:
            self.cursor = seq
            return [event, *self._following()] if self._held else [event]
        if seq <= self.cursor or seq in self._held:
            self.duplicates += 1
        elif len(self._held) < MAX_HELD:
            self._held[seq] = event
        return []

    def hear(self, seq: int) -> None:
        """Note that the job's log holds `seq` events at least: a heartbeat, an acknowledgement says so."""
        self.heard = max(self.heard, seq)

    @property
    def is_behind(self) -> bool:
        """Whether the log holds events that were not let through, so that they must be asked for."""
        return self.cursor < self.heard

    def rewind(self) -> None:
        """Begin again at 1: the server counts in another log."""
        self.cursor = self.heard = 0
        self._held.clear()

    def _following(self) -> list[Event]:
        following = []
        while (event := self._held.pop(self.cursor + 1, None)) is not None:
            self.cursor += 1
            following.append(event)
        return following
