"""Lines: the typed records that `--ndjson` prints, and all that any sink is told (`CLI.md`, NDJSON).

A line knows its event's own keys. The numbers of the run (`seq`, `elapsed`, `correlationId`) are put around it as a
`Numbered` when it is told. Fields are named as the keys of the wire in snake case;
`model.encoding` spells them in camel case.
"""

from dataclasses import field
from enum import StrEnum
from typing import ClassVar, Final, Literal, TypeAlias

from exportctl.protocol import events
from exportctl.protocol.fact import fact

Data: TypeAlias = events.Data
StageProgress: TypeAlias = events.StageProgress
DOWNLOADING: Final = events.DOWNLOADING

SCHEMA_VERSION = 1
SCHEMA_ID = "https://exportctl.dev/schema/1/line.json"


class Source(StrEnum):
    """Where the knowledge of a line came from."""

    SOCKET = "socket"
    POLL = "poll"
    REPLAY = "replay"
    CLIENT = "client"


class Outcome(StrEnum):
    """How a job, or a command without one, ended."""

    OK = "ok"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DETACHED = "detached"
    TIMEOUT = "timeout"
    ERROR = "error"


@fact
class Line:
    """What every line may carry. `timestamp` None: the client's clock at the telling."""

    event: ClassVar[str]
    job_id: str | None = None
    project_id: str | None = None
    source: Source = Source.CLIENT
    timestamp: str | None = None


@fact
class Hello(Line):
    """Always the first line."""

    event: ClassVar[str] = "hello"
    version: str
    schema: str = SCHEMA_ID
    command: str | None
    server: str | None


@fact
class ExportLine(Line):
    """A line of a job. The two numbers are the server's, absent where it gave none (protocol 1, the client's own)."""

    server_seq: int | None = None
    job_correlation_id: str | None = None


@fact
class ExportStarted(ExportLine):
    """The job began."""

    event: ClassVar[str] = "export:started"
    options: Data | None
    project_name: str | None


@fact
class ExportProgress(ExportLine):
    """`progress` is 0 to 100 within the phase and never falls."""

    event: ClassVar[str] = "export:progress"
    phase: str
    progress: float | None
    stage: str | None = None
    stage_progress: StageProgress | None = None
    message: str | None = None
    template: str | None = None
    data: Data | None = None
    estimated_time_remaining: float | None = None


@fact
class DownloadProgress(ExportProgress):
    """Progress of the phase `downloading`: bytes on disk here; rate in bytes a second."""

    bytes: int
    total_bytes: int | None
    bytes_per_second: float | None


@fact
class ExportPhaseChanged(ExportLine):
    """One phase ended, the next begins."""

    event: ClassVar[str] = "export:phase-changed"
    from_phase: str | None
    to_phase: str
    message: str | None
    progress: float | None


@fact
class ExportStatusSync(ExportLine):
    """The job as the server sees it after a (re)connection."""

    event: ClassVar[str] = "export:status-sync"
    status: str
    phase: str | None
    stage: str | None
    progress: float | None
    message: str | None
    last_seq: int | None


@fact
class ExportDownloadReady(ExportLine):
    """The archive is whole on the server."""

    event: ClassVar[str] = "export:download-ready"
    file_name: str | None
    file_size: int | None
    sha256: str | None


@fact
class ExportCompleted(ExportLine):
    """The server's word that the export is made; the file is there only with `result`."""

    event: ClassVar[str] = "export:completed"
    warnings: tuple[str, ...]
    processing_time: float | None


@fact
class ExportFailedLine(ExportLine):
    """The export failed on the server."""

    event: ClassVar[str] = "export:failed"
    error: str
    code: str | None
    hint: str | None
    stage: str | None
    retryable: bool | None


@fact
class ExportCancelled(ExportLine):
    """The export was cancelled."""

    event: ClassVar[str] = "export:cancelled"
    cancelled_by: str | None
    cleanup_completed: bool | None
    message: str | None


ConnectionState: TypeAlias = Literal["connected", "reconnecting", "polling", "closed"]


@fact
class ConnectionChanged(Line):
    """The way to the server changed. `retry_in` in seconds."""

    event: ClassVar[str] = "connection:changed"
    state: ConnectionState
    protocol: int | None
    reason: str | None = None
    attempt: int | None = None
    retry_in: float | None = None


@fact
class Heartbeat(Line):
    """Nothing else was written for 30 s, and the command is alive."""

    event: ClassVar[str] = "heartbeat"
    waiting_for: str


@fact
class Log(Line):
    """A remark that fits no other line."""

    event: ClassVar[str] = "log"
    level: Literal["info", "warning"]
    code: str
    message: str


@fact
class JobRow(Line):
    """One job, as `status` and `list` show it."""

    event: ClassVar[str] = "job"
    status: str
    project_name: str | None
    phase: str | None
    stage: str | None
    progress: float | None
    stage_progress: StageProgress | None
    estimated_time_remaining: float | None
    message: str | None
    created_at: str | None
    completed_at: str | None
    file_name: str | None
    file_size: int | None
    sha256: str | None
    warnings: tuple[str, ...]
    error: "ErrorDetails | None"
    last_seq: int | None


@fact
class ProjectRow(Line):
    """One project, as `projects` shows it; its id is the line's `project_id`."""

    event: ClassVar[str] = "project"
    title: str
    image_count: int | None
    description: str | None
    created_at: str | None
    updated_at: str | None


@fact
class FormatRow(Line):
    """One format, as `formats` shows it. `kind` is `annotations` or `metrics`, the option that takes its `id`."""

    event: ClassVar[str] = "format"
    kind: str
    id: str
    name: str | None
    description: str | None


@fact
class ErrorDetails:
    """What went wrong and what to do."""

    code: str
    message: str
    hint: str | None


@fact
class Seconds:
    """How long each part took here; None for a part that did not happen."""

    processing: float | None = None
    downloading: float | None = None
    total: float | None = None


@fact
class Stats:
    """What it took. `resumed_from` is the byte a download went on at."""

    events: int = 0
    duplicates: int = 0
    reconnects: int = 0
    polls: int = 0
    resumed_from: int | None = None


@fact
class Result(Line):
    """The last line of a job, or of a command without one."""

    event: ClassVar[str] = "result"
    outcome: Outcome
    exit_code: int
    error: ErrorDetails | None = None
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    verified: bool | None = None
    warnings: tuple[str, ...] = ()
    seconds: Seconds = field(default_factory=Seconds)
    stats: Stats = field(default_factory=Stats)


@fact
class Numbered:
    """A line as told: its place in this run.

    `elapsed` in seconds since the command began; `timestamp` RFC 3339 UTC with milliseconds.
    """

    seq: int
    timestamp: str
    elapsed: float
    correlation_id: str
    line: Line
