"""The one way to read a job's events: a cursor that pulls from the log.

Subscriptions, long polls and a socket's view of its user's jobs are cursors. Replay and live are one path: a reader
that has caught up waits for the log's notice, then reads again. A slow reader only falls behind.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from exportctl.server.job import Event, JobRecord
from exportctl.server.log import EventLog


def start_of(record: JobRecord, after: int, log_id: str | None) -> tuple[int, bool]:
    """Say where to read on for a client that counted to `after` in the log `log_id`, and whether there is a gap.

    A gap means that the client did not count in this log: everything is sent from 1. (No event of a log is ever trimmed
    here: a job goes as a whole.)
    """
    foreign = (log_id is not None and log_id != record.log) or after > record.last_seq
    return (0, True) if foreign else (after, False)


class Cursor:
    """A place in one job's log. `after` is the last `seq` handed out."""

    def __init__(self, log: EventLog, job_id: str, after: int) -> None:
        self._log = log
        self.job_id = job_id
        self.after = after

    async def take(self, limit: int) -> Sequence[Event]:
        """Return the next events, `limit` at most, and move beyond them; empty when caught up."""
        events = await self._log.read(self.job_id, self.after, limit)
        if events:
            self.after = events[-1].seq
        return events

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something to take, `seconds` at most; False when the time was up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._log.wait(self.job_id, self.after)
                return True
        return False
