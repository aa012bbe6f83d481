"""Events of jobs that nobody follows yet: kept, within bounds, until the answer to a POST names the job (`WIRE.md`, 1).

All of a user's jobs arrive on every socket of that user, so most of these are never asked for.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from exportctl.protocol.events import Event

JOBS: Final = 100
EVENTS: Final = 1000
"""Of one job; the latest are kept, since the last of them says how it ended."""


@dataclass(slots=True)
class Unclaimed:
    """The events by job, the jobs in the order in which they were first heard of."""

    _kept: OrderedDict[str, deque[Event]] = field(default_factory=OrderedDict)

    def keep(self, event: Event) -> None:
        """Keep an event; beyond the bounds the oldest job is let go."""
        kept = self._kept.get(event.job_id)
        if kept is None:
            kept = self._kept[event.job_id] = deque(maxlen=EVENTS)
            if len(self._kept) > JOBS:
                self._kept.popitem(last=False)
        kept.append(event)

    def claim(self, job_id: str) -> list[Event]:
        """Hand over what came of a job, in order."""
        return list(self._kept.pop(job_id, ()))

    def jobs(self) -> list[str]:
        """Return the jobs that were heard of, the oldest first."""
        return list(self._kept)
