"""What the progress sinks remember of each job: the latest of every kind of line, and what must never fall.

A line only replaces a field: no text is made here, so a flood of lines costs next to nothing. What is drawn, and how,
is the business of `rows` and `layout`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from exportctl.model.lines import (
    DOWNLOADING,
    DownloadProgress,
    ExportCancelled,
    ExportCompleted,
    ExportDownloadReady,
    ExportFailedLine,
    ExportPhaseChanged,
    ExportProgress,
    ExportStarted,
    Line,
    Outcome,
    Result,
    StageProgress,
)
from exportctl.output.safe import visible

_STAGES_KEPT = 100

End: TypeAlias = ExportCompleted | ExportFailedLine | ExportCancelled


@dataclass(slots=True, kw_only=True, eq=False)
class JobView:
    """One job as its lines told it. `processed` and `downloaded` are percent, None while unknown, and never fall.

    The times are the monotonic seconds at which their line came.
    """

    job_id: str | None
    project_name: str | None = None
    stages: set[str] = field(default_factory=set)
    stage: str | None = None
    told: ExportProgress | None = None
    counts: StageProgress | None = None
    processed: float | None = None
    processing_left: float | None = None
    processing_told_at: float = 0.0
    downloaded: float | None = None
    download: DownloadProgress | None = None
    download_told_at: float = 0.0
    ready: ExportDownloadReady | None = None
    is_processed: bool = False
    end: End | None = None
    result: Result | None = None

    @property
    def is_running(self) -> bool:
        """Whether something is being done for it, here or on the server."""
        return self.processed is not None or self.stage is not None or self.download is not None

    @property
    def short_id(self) -> str:
        """The first 8 characters of the job's id, as its file is named by default; safe to show."""
        return visible(self.job_id or "")[:8]


@dataclass(slots=True, kw_only=True)
class Views:
    """The jobs of this command, in the order in which they were first heard of."""

    monotonic: Callable[[], float]
    by_id: dict[str, JobView] = field(default_factory=dict)

    def update(self, line: Line) -> JobView | None:
        """Take a line into its job's view and return it; None for a line that belongs to no job."""
        job_id = line.job_id
        if job_id is None:
            return None
        view = self.by_id.get(job_id)
        if view is None:
            view = self.by_id[job_id] = JobView(job_id=job_id)
        match line:
            case DownloadProgress():
                view.download = line
                view.download_told_at = self.monotonic()
                view.downloaded = _higher(view.downloaded, line.progress)
            case ExportProgress():
                self._take_processing(view, line)
            case _:
                _take_step(view, line)
        return view

    def _take_processing(self, view: JobView, line: ExportProgress) -> None:
        view.processed = _higher(view.processed, line.progress)
        view.processing_left = line.estimated_time_remaining
        view.processing_told_at = self.monotonic()
        # Stages run side by side and some events name none (WIRE.md, oddity 2): what is known stays until replaced.
        if line.stage is not None:
            view.told = line
            if line.stage != view.stage:
                view.counts = None
                view.stage = line.stage
            if len(view.stages) < _STAGES_KEPT:
                view.stages.add(line.stage)
        if line.stage_progress is not None:
            view.counts = line.stage_progress


def _higher(before: float | None, now: float | None) -> float | None:
    if now is None:
        return before
    return now if before is None or now > before else before


def _take_step(view: JobView, line: Line) -> None:
    match line:
        case ExportStarted():
            view.project_name = line.project_name or view.project_name
        case ExportPhaseChanged():
            view.is_processed = view.is_processed or line.to_phase == DOWNLOADING
        case ExportDownloadReady():
            view.ready = line
            view.is_processed = True
        case ExportCompleted():
            view.end = line
            view.is_processed = True
        case ExportFailedLine() | ExportCancelled():
            view.end = line
        case Result():
            view.result = line
            view.is_processed = view.is_processed or line.outcome is Outcome.COMPLETED
        case _:
            pass
