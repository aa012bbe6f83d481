"""The facts of one export job, and the life cycle they follow.

A `JobRecord` is a value: whoever advances a job makes a new one with `dataclasses.replace` and hands it to the log
together with the event that tells of the change, so that a status never contradicts the events. Nothing here does I/O.

Life cycle (`ended` states have no way out)::

    pending ──► processing ──► completed
       │             ├───────► failed
       └─────────────┴───────► cancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from exportctl.server import bodies


class Status(StrEnum):
    """Where a job stands, in the words of the wire."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for a state without a way out."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


class EventName:
    """The logged events of protocol 2."""

    STARTED = "export:started"
    PROGRESS = "export:progress"
    PHASE_CHANGED = "export:phase-changed"
    DOWNLOAD_READY = "export:download-ready"
    COMPLETED = "export:completed"
    FAILED = "export:failed"
    CANCELLED = "export:cancelled"


ENDS = frozenset({EventName.COMPLETED, EventName.FAILED, EventName.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One logged event: `data` is the whole object of the wire, envelope included."""

    seq: int
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """The finished archive: name offered to clients, size in bytes, SHA-256 in hex, when it goes (Unix seconds)."""

    file_name: str
    size: int
    sha256: str
    expires: float

    def to_wire(self) -> bodies.Archive:
        """Spell it as the status does."""
        return {"fileName": self.file_name, "fileSize": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, in the user's terms."""

    code: str
    message: str
    hint: str | None = None
    retryable: bool = False

    def to_wire(self) -> bodies.Failure:
        """Spell it as the status does."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """That a job is to be cancelled: noted before the caller is answered, so that a restart cancels it too."""

    by: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """All that is known of a job. `created` and `completed` are Unix seconds; `progress` is 0 to 100.

    `log` names this job's log, in which `last_seq` counts; `making` names the one making of its archive (the ETag).
    `archive` is there from `export:download-ready` on.
    """

    id: str
    log: str
    making: str
    project: str
    user: str
    options: Mapping[str, Any]
    project_name: str
    correlation: str
    created: float
    status: Status = Status.PENDING
    phase: str = "processing"
    stage: str | None = None
    stage_progress: bodies.StageProgress | None = None
    progress: float = 0
    message: str = "Waiting for its turn"
    eta: float | None = None
    last_seq: int = 0
    warnings: tuple[str, ...] = ()
    archive: ArchiveFacts | None = None
    error: JobError | None = None
    completed: float | None = None
    cancellation: Cancellation | None = None


def timestamp(seconds: float) -> str:
    """Spell Unix seconds as the wire does: RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
