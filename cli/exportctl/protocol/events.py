"""The events of an export as typed facts, whichever generation of the protocol told them.

Frozen records named as the wire names them (`WIRE.md`, Events), in camel case there. A dialect makes them; nothing
above `protocol/` reads a raw dictionary. What a server did not say is None. Strings of the wire stay strings: an
unknown stage or phase is shown, not lost.

They are msgspec's, which never change, cost less than a dataclass that may, and are read from JSON in one step where
nothing about it is unusual (`dialects.dialect2.read_event`); the limits in the types hold there only.
"""

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

MOST: Final = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exactly (RFC 8259, section 6); no size is beyond it."""

Whole: TypeAlias = Annotated[int, Meta(ge=0, le=MOST)]
Percent: TypeAlias = Annotated[float, Meta(ge=0, le=100)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]

Data: TypeAlias = Mapping[str, object]
"""A JSON object that only passes through: options, template data."""

PROCESSING = "processing"
DOWNLOADING = "downloading"


class StageProgress(Struct, frozen=True, kw_only=True):
    """How far one stage is: `current` of `total` images, the last of them `item`."""

    current: Whole
    total: Whole
    item: str | None = None


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """What every event of a job carries. `seq` counts 1, 2, 3 … per job; None where the server does not number."""

    job_id: Text
    project_id: str | None = None
    seq: Whole | None = None
    timestamp: str | None = None
    correlation_id: str | None = None


class Started(Event, frozen=True, kw_only=True):
    """The job began. `total` counts images."""

    project_name: str | None = None
    options: Data | None = None
    total: int | None = None


class Progress(Event, frozen=True, kw_only=True):
    """`progress` is 0 to 100 within the phase, times in seconds; `bytes_written` of the archive so far."""

    phase: Text = PROCESSING
    stage: str | None = None
    progress: Percent | None = None
    stage_progress: StageProgress | None = None
    message: str | None = None
    template: str | None = None
    data: Data | None = None
    estimated_time_remaining: Annotated[float, Meta(ge=-MOST, le=MOST)] | None = None
    bytes_written: Whole | None = None


class PhaseChanged(Event, frozen=True, kw_only=True):
    """The job went from one phase to the next."""

    from_phase: str | None = None
    to_phase: str
    message: str | None = None
    progress: float | None = None


class DownloadReady(Event, frozen=True, kw_only=True):
    """The archive is whole on the server: its name there, size in bytes, SHA-256 in hexadecimal."""

    file_name: str | None = None
    file_size: int | None = None
    sha256: str | None = None
    expires_at: str | None = None


class Completed(Event, frozen=True, kw_only=True):
    """The export is made. Times in seconds."""

    warnings: tuple[str, ...] = ()
    processing_time: float | None = None
    stages: Mapping[str, float] | None = None


class Failed(Event, frozen=True, kw_only=True):
    """The export failed on the server."""

    error: str
    code: str | None = None
    hint: str | None = None
    stage: str | None = None
    item: str | None = None
    retryable: bool | None = None


class Cancelled(Event, frozen=True, kw_only=True):
    """The export was cancelled. `cleanup_completed` is the server's claim."""

    cancelled_by: str | None = None
    reason: str | None = None
    progress: float | None = None
    message: str | None = None
    cleanup_completed: bool | None = None


class StatusSync(Event, frozen=True, kw_only=True):
    """The job as the server sees it now. It informs; it moves no state ahead of the replay."""

    status: str
    phase: str | None = None
    stage: str | None = None
    progress: float | None = None
    message: str | None = None
    last_seq: int | None = None


class Heartbeat(Event, frozen=True, kw_only=True):
    """The job is alive and its log holds `last_seq` events."""

    last_seq: int


class Unreadable(Event, frozen=True, kw_only=True):
    """An event whose name or data this client does not know. Never an error: servers grow.

    One with a number still is the event of that number: what lies behind it must not wait for it. `job_id` is empty
    where it names no job.
    """

    job_id: str = ""
    name: str
    reason: str


End: TypeAlias = Completed | Failed | Cancelled
"""The last event of a job; there is exactly one."""

Told: TypeAlias = Started | Progress | PhaseChanged | DownloadReady | End
"""What a job's log holds."""

AnyEvent: TypeAlias = Told | StatusSync | Heartbeat | Unreadable
