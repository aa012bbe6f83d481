"""The event log, as everything else sees it: an event is durable here before anyone is told of it.

`append` numbers a job's events 1, 2, 3 … without a gap and stores, in the same transaction, the record that goes with
the event: a status can not contradict the events. After a job's end nothing more can be appended, so a job has one end
whoever wins a race for it. Readers pull (`cursor.py`); the log only says that there is something new.

The methods are coroutines because a log may be another process's (Redis Streams); `sqlite_log.py` is the one of a
single machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from exportctl.server.job import Event, JobRecord


class LogError(Exception):
    """The log can not do that."""


class JobEndedError(LogError):
    """The job has its last event already."""


class UnknownJobError(LogError):
    """No job of that id is in the log."""


class KeyConflictError(LogError):
    """The idempotency key was used for another request."""


class LogFullError(LogError):
    """There is no room for another event."""


class LogUnusableError(LogError):
    """The log's place cannot be used: not to be read or written, no log, or made by a newer version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A POST's `Idempotency-Key`: one per user, with a digest of the body that it came with."""

    user: str
    key: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptArchive:
    """A job's archive, its size in bytes, and when its time is over (Unix seconds)."""

    job: str
    size: int
    expires: float


class EventLog(Protocol):
    """Jobs and their events. `open` first, `close` last; whatever is wrong with its place is a LogError."""

    @property
    def appended(self) -> int:
        """How many events were appended here since it was opened."""

    async def open(self) -> None:
        """Have it ready; raises LogUnusableError."""

    async def create(self, record: JobRecord, key: IdempotencyKey | None = None) -> JobRecord:
        """Store a new job, or return the one this key made within 24 h; raises KeyConflictError as `keyed` does."""

    async def keyed(self, key: IdempotencyKey) -> JobRecord | None:
        """Return the job this key made within 24 h; raises KeyConflictError if that had another body."""

    async def append(self, record: JobRecord, name: str, data: Mapping[str, Any]) -> JobRecord:
        """Log the next event and the record as it is from now on; returns it with its new `last_seq`.

        The envelope (`jobId`, `projectId`, `seq`, `timestamp`, `correlationId`) is added here. Raises JobEndedError.
        """

    async def amend(self, record: JobRecord) -> None:
        """Store a change of an unfinished job's record that no event tells of; raises JobEndedError."""

    async def job(self, job_id: str, *, user: str | None = None) -> JobRecord | None:
        """Return the job as its last event left it; with `user` only if it is this user's.

        Another's takes no other way than one that is not there: how long it took tells nobody which it was.
        """

    async def newest(self, user: str, project: str | None, limit: int) -> Sequence[str]:
        """Return the ids of a user's jobs, newest first, of all projects where none is given.

        Not the jobs: of each a hundred thousand images may be selected.
        """

    async def unfinished(self) -> Sequence[JobRecord]:
        """Return the jobs without an end, oldest first."""

    async def archives(self) -> Sequence[KeptArchive]:
        """Return the archives of completed jobs that were not retired, those of jobs that ended first first."""

    async def retire(self, job_id: str, now: float) -> None:
        """Note that the job's archive is gone: its time was over now, at the latest."""

    async def keep_until(self, times: Mapping[str, float]) -> None:
        """Note when the archives of these jobs go (Unix seconds), all or none: not when it was told."""

    async def forget(self, before: float) -> None:
        """Remove the jobs that ended before then (Unix seconds) and have no archive any more, with their events."""

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """Return the events with a higher `seq` than `after`, in order, `limit` at most."""

    async def wait(self, job_id: str, after: int) -> None:
        """Return when an event beyond `after` was appended since the caller last read; at once if it was already."""

    async def close(self) -> None:
        """Let go of the log."""
