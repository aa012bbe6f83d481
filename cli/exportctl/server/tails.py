"""The last events of the jobs that run, in memory: a thousand followers of one job read each of them once.

They were durable before they came here, in the same order. What is not here any more, or never was, is in the log.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

from exportctl.server.job import Event

_EVENTS = 64
_JOBS = 64


class Tails:
    """The last events by job: of the jobs that had news last. Only from the event loop's thread."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, deque[Event]] = OrderedDict()

    def add(self, job_id: str, event: Event) -> None:
        """Note a job's next event."""
        tail = self._jobs.setdefault(job_id, deque(maxlen=_EVENTS))
        if tail and tail[-1].seq != event.seq - 1:
            tail.clear()
        tail.append(event)
        self._jobs.move_to_end(job_id)
        if len(self._jobs) > _JOBS:
            self._jobs.popitem(last=False)

    def read(self, job_id: str, after: int, limit: int) -> Sequence[Event] | None:
        """Return the events with a higher `seq` than `after`, `limit` at most; None where the log must be asked."""
        tail = self._jobs.get(job_id)
        if not tail or after < tail[0].seq - 1:
            return None
        skipped = after - tail[0].seq + 1
        return list(islice(tail, skipped, skipped + limit))
