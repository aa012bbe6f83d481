"""Lines: the typed records that `--ndjson` prints, and all that any sink is told (`CLI.md`, NDJSON).

A line knows its event's own keys. The numbers of the run (`seq`, `elapsed`, `correlationId`) are put around it as a
`Numbered` when it is told. Fields are named as the keys of the wire in snake case;
`model.encoding` spells them in camel case.

They are msgspec's records, which never change: one of 14 fields is made in 0.07 µs, where a dataclass that nothing
watches takes 0.5 and a frozen one 1.4 (`tests/bench/follow.py`).
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Struct, field

from exportctl.model.key import Key
from exportctl.protocol import events

Data: TypeAlias = events.Data
StageProgress: TypeAlias = events.StageProgress
DOWNLOADING: Final = events.DOWNLOADING

SCHEMA_VERSION = 1
SCHEMA_ID = "https://exportctl.dev/schema/1/line.json"

Told: TypeAlias = Annotated[str, Key("RFC 3339, UTC, with milliseconds.", format="date-time")]
Percent: TypeAlias = Annotated[
    float | None, Key("0 to 100 within the phase; null while unknown.", minimum=0, maximum=100)
]
Left: TypeAlias = Annotated[float | None, Key("Seconds to the end of the phase; null while unknown.", minimum=0)]
Size: TypeAlias = Annotated[int | None, Key("Bytes.", minimum=0)]
Digest: TypeAlias = Annotated[str | None, Key("SHA-256 in hexadecimal.")]
Stage: TypeAlias = Annotated[
    str | None, Key("`images`, `visualizations`, `annotations`, `metrics` or `compression`, and what servers add.")
]
Status: TypeAlias = Annotated[str, Key("`pending`, `processing`, `completed`, `failed` or `cancelled`.")]


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


class Line(Struct, frozen=True, kw_only=True):
    """What every line may carry. `timestamp` None: the client's clock at the telling."""

    event: ClassVar[str]
    job_id: Annotated[str | None, Key("Null only for lines that belong to no job.")] = None
    project_id: Annotated[str | None, Key("Null only for lines that belong to no project.")] = None
    source: Source = Source.CLIENT
    timestamp: str | None = None


class Hello(Line, frozen=True, kw_only=True):
    """Always the first line."""

    event: ClassVar[str] = "hello"
    version: Annotated[str, Key("Of exportctl.")]
    schema: Annotated[str, Key("The id of the schema of these lines.", const=SCHEMA_ID)] = SCHEMA_ID
    command: Annotated[str | None, Key("Null where none was named.")]
    server: Annotated[str | None, Key("Its address without secrets, or `embedded`; null where none is known.")]


class ExportLine(Line, frozen=True, kw_only=True):
    """A line of a job. The two numbers are the server's, absent where it gave none (protocol 1, the client's own)."""

    job_id: str
    server_seq: Annotated[int | None, Key("The server's own: 1, 2, 3 … per job without a gap.", minimum=1)] = None
    job_correlation_id: Annotated[str | None, Key("That of the command that started the job.")] = None


class ExportStarted(ExportLine, frozen=True, kw_only=True):
    """The job began."""

    event: ClassVar[str] = "export:started"
    options: Annotated[Data | None, Key("What was asked for, as the server spells it.")]
    project_name: Annotated[str | None, Key("The project's title.")]


class ExportProgress(ExportLine, frozen=True, kw_only=True):
    """`progress` is 0 to 100 within the phase and never falls."""

    event: ClassVar[str] = "export:progress"
    phase: Annotated[str, Key("`processing` or `downloading`.")]
    progress: Percent
    stage: Stage = None
    stage_progress: StageProgress | None = None
    message: Annotated[str | None, Key("In English, or in the server's words.")] = None
    template: Annotated[str | None, Key("The key by which others say the message in their own words.")] = None
    data: Annotated[Data | None, Key("What the template needs.")] = None
    estimated_time_remaining: Left = None


class DownloadProgress(ExportProgress, frozen=True, kw_only=True):
    """Progress of the phase `downloading`: bytes on disk here; rate in bytes a second."""

    bytes: Annotated[int, Key("On disk here. Falls where a download begins anew.", minimum=0)]
    total_bytes: Size
    bytes_per_second: Annotated[float | None, Key("Smoothed.", minimum=0)]


class ExportPhaseChanged(ExportLine, frozen=True, kw_only=True):
    """One phase ended, the next begins."""

    event: ClassVar[str] = "export:phase-changed"
    from_phase: str | None
    to_phase: str
    message: str | None
    progress: Percent


class ExportStatusSync(ExportLine, frozen=True, kw_only=True):
    """The job as the server sees it after a (re)connection."""

    event: ClassVar[str] = "export:status-sync"
    status: Status
    phase: str | None
    stage: Stage
    progress: Percent
    message: str | None
    last_seq: Annotated[int | None, Key("The number of the last event in the server's log.", minimum=0)]


class ExportDownloadReady(ExportLine, frozen=True, kw_only=True):
    """The archive is whole on the server."""

    event: ClassVar[str] = "export:download-ready"
    file_name: str | None
    file_size: Size
    sha256: Digest


class ExportCompleted(ExportLine, frozen=True, kw_only=True):
    """The server's word that the export is made; the file is there only with `result`."""

    event: ClassVar[str] = "export:completed"
    warnings: tuple[str, ...]
    processing_time: Annotated[float | None, Key("Seconds.")]
    stages: Annotated[
        dict[str, float] | None,
        Key("Seconds of work by stage; stages run side by side. Absent where the server does not say."),
    ] = None


class ExportFailedLine(ExportLine, frozen=True, kw_only=True):
    """The export failed on the server."""

    event: ClassVar[str] = "export:failed"
    error: Annotated[str, Key("In the server's words, one line.")]
    code: Annotated[str | None, Key("The server's own, for scripts.")]
    hint: Annotated[str | None, Key("What to do about it.")]
    stage: Annotated[str | None, Key("In which it failed.")]
    retryable: Annotated[bool | None, Key("Whether the same export may succeed now.")]


class ExportCancelled(ExportLine, frozen=True, kw_only=True):
    """The export was cancelled."""

    event: ClassVar[str] = "export:cancelled"
    cancelled_by: Annotated[str | None, Key("Who asked for it, as the server says.")]
    cleanup_completed: Annotated[bool | None, Key("Whether its files are gone: the server's claim.")]
    message: str | None


ConnectionState: TypeAlias = Literal["connected", "reconnecting", "polling", "closed"]


class ConnectionChanged(Line, frozen=True, kw_only=True):
    """The way to the server changed."""

    event: ClassVar[str] = "connection:changed"
    state: ConnectionState
    protocol: Annotated[int | None, Key("1 or 2; null while unknown.")]
    reason: Annotated[str | None, Key("In words.")] = None
    attempt: Annotated[int | None, Key("Which one in a row is next.", minimum=0)] = None
    retry_in: Annotated[float | None, Key("Seconds until then.", minimum=0)] = None


class Heartbeat(Line, frozen=True, kw_only=True):
    """Nothing else was written for 30 s, and the command is alive."""

    event: ClassVar[str] = "heartbeat"
    waiting_for: Annotated[str, Key("In words.")]


class Log(Line, frozen=True, kw_only=True):
    """A remark that fits no other line."""

    event: ClassVar[str] = "log"
    level: Literal["info", "warning"]
    code: Annotated[str, Key("For scripts: it stays the same when the message is reworded.")]
    message: str


class JobRow(Line, frozen=True, kw_only=True):
    """One job, as `status` and `list` show it."""

    event: ClassVar[str] = "job"
    status: Annotated[
        str,
        Key(
            "`pending`, `processing`, `completed`, `failed` or `cancelled`; where no server was asked `unfinished`,"
            " `parked` (waits on this machine) or `gone`."
        ),
    ]
    project_name: Annotated[str | None, Key("The project's title.")]
    phase: str | None
    stage: Stage
    progress: Percent
    stage_progress: StageProgress | None
    estimated_time_remaining: Left
    message: str | None
    created_at: str | None
    completed_at: str | None
    file_name: str | None
    file_size: Size
    sha256: Digest
    warnings: tuple[str, ...]
    error: "ErrorDetails | None"
    last_seq: int | None


class ProjectRow(Line, frozen=True, kw_only=True):
    """One project, as `projects` shows it; its id is the line's `projectId`."""

    event: ClassVar[str] = "project"
    title: str
    image_count: int | None
    description: str | None
    created_at: str | None
    updated_at: str | None


class FormatRow(Line, frozen=True, kw_only=True):
    """One format, as `formats` shows it. `kind` is `annotations` or `metrics`, the option that takes its `id`."""

    event: ClassVar[str] = "format"
    kind: Annotated[str, Key("The option that takes its id.")]
    id: str
    name: str | None
    description: str | None


class CheckRow(Line, frozen=True, kw_only=True):
    """One thing that `doctor` looked at."""

    event: ClassVar[str] = "check"
    name: Annotated[str, Key("What was looked at: `server`, `sign-in`, `socket` and so on.")]
    status: Literal["ok", "warning", "failed", "skipped"]
    message: str
    hint: Annotated[str | None, Key("What to do about it.")]
    seconds: Annotated[float | None, Key("How long it took.", minimum=0)]


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """What went wrong and what to do."""

    code: Annotated[str, Key("For scripts: it stays the same when the message is reworded.")]
    message: Annotated[str, Key("What went wrong, one line.")]
    hint: Annotated[str | None, Key("What to do, a command to paste where it can be.")]


class Seconds(Struct, frozen=True, kw_only=True):
    """How long each part took here; null for a part that did not happen."""

    processing: Annotated[float | None, Key("Until the server was done, as seen from here.", minimum=0)] = None
    downloading: Annotated[float | None, Key("Until the archive lay in its place.", minimum=0)] = None
    total: Annotated[float | None, Key("From the beginning of the command.", minimum=0)] = None


class Stats(Struct, frozen=True, kw_only=True):
    """What it took."""

    events: Annotated[int, Key("Of the job, each counted once.", minimum=0)] = 0
    duplicates: Annotated[int, Key("Events that came again and were dropped.", minimum=0)] = 0
    reconnects: Annotated[int, Key("Times the socket was lost and found again.", minimum=0)] = 0
    polls: Annotated[int, Key("Requests that stood in for the socket.", minimum=0)] = 0
    resumed_from: Annotated[int | None, Key("The byte at which a download went on.", minimum=0)] = None


class Result(Line, frozen=True, kw_only=True):
    """The last line of a job, or of a command without one."""

    event: ClassVar[str] = "result"
    outcome: Outcome
    exit_code: Annotated[int, Key("The exit status of the command, were this its only job.", minimum=0, maximum=255)]
    error: ErrorDetails | None = None
    file: Annotated[str | None, Key("The archive's absolute path; null where none was left.")] = None
    bytes: Size = None
    sha256: Digest = None
    verified: Annotated[bool | None, Key("Whether size, digest and CRCs were right; null: not looked.")] = None
    warnings: tuple[str, ...] = ()
    seconds: Seconds = field(default_factory=Seconds)
    stats: Stats = field(default_factory=Stats)


class Numbered(Struct, frozen=True, kw_only=True):
    """A line as told: its place in this run.

    `elapsed` in seconds since the command began; `timestamp` RFC 3339 UTC with milliseconds.
    """

    seq: Annotated[int, Key("1, 2, 3 … without a gap within one run of the command.", minimum=1)]
    timestamp: Told
    elapsed: Annotated[float, Key("Seconds since the command began, monotonic.", minimum=0)]
    correlation_id: Annotated[str, Key("One for each run of the command; sent to the server too.", format="uuid")]
    line: Line
