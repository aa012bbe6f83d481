"""What becomes of one job in this command: collected while it goes on, told at the end as its `result` line."""

import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exportctl.client.archive import Saved
from exportctl.client.watch import Watch
from exportctl.model.errors import CancelledElsewhere, ExportctlError, ExportFailed
from exportctl.model.job import Job
from exportctl.model.lines import ErrorDetails, Outcome, Result, Seconds, Stats
from exportctl.protocol.events import Cancelled, Completed, Failed
from exportctl.store.jobs import KnownJob
from exportctl.store.parked import is_parked

if TYPE_CHECKING:
    from exportctl.client.follow import Follower  # at run time the sockets only of who follows


@dataclass(slots=True, kw_only=True)
class Report:
    """The story of one job so far. `monotonic` gives seconds.

    `known` is what this machine's store has of it. `is_starting`: its start was asked for and not answered yet;
    `is_cancelling`: its cancellation was sent. `target` is where its archive goes, `told` the status at its end.
    """

    monotonic: Callable[[], float]
    job_id: str | None = None
    project_id: str | None = None
    began: float = field(init=False)
    processed: float | None = None
    fetched_since: float | None = None
    downloaded: float | None = None
    saved: Saved | None = None
    warnings: tuple[str, ...] = ()
    follower: "Follower | None" = None
    watch: Watch | None = None
    known: KnownJob | None = None
    target: Path | None = None
    is_starting: bool = False
    is_cancelling: bool = False
    told: int | None = None

    def __post_init__(self) -> None:
        self.began = self.monotonic()

    @property
    def is_told(self) -> bool:
        """Whether its last line was told."""
        return self.told is not None

    @property
    def is_parked(self) -> bool:
        """Whether the job waits on this machine when no command is with it."""
        return self.known is not None and is_parked(self.known.server)

    @property
    def bad_end(self) -> tuple[Outcome, int, ErrorDetails] | None:
        """How a job ended that failed or was cancelled: outcome, status and error. None for any other."""
        error = None if self.watch is None else error_of(self.watch.job)
        if error is None:
            return None
        outcome = Outcome.FAILED if isinstance(error, ExportFailed) else Outcome.CANCELLED
        return outcome, error.exit_status, details(error)

    def processing_ended(self) -> None:
        """Note that the server is done."""
        self.processed = self.monotonic()

    def downloading_began(self) -> None:
        """Note that bytes of the archive come."""
        if self.fetched_since is None:
            self.fetched_since = self.monotonic()

    def downloading_ended(self, saved: Saved) -> None:
        """Note that the archive lies where it should."""
        self.downloaded = self.monotonic()
        self.saved = saved

    def places(self) -> str:
        """Return the options that bring the archive to where it was to go."""
        folder = None if self.known is None else self.known.extract
        options = {"-o": None if self.target == folder else self.target, "--extract": folder}
        return "".join(f" {name} {shlex.quote(printable(str(path)))}" for name, path in options.items() if path)

    def standing(self) -> str:
        """Return in one line how far the job is."""
        job = None if self.watch is None else self.watch.job
        if job is None:
            return f"job {self.job_id}" if self.job_id else "no job yet"
        if self.processed is not None:
            return f"job {job.job_id}: processed"
        words = [job.stage or job.phase, "" if job.progress is None else f"{job.progress:.0f} %"]
        return f"job {job.job_id}: {' '.join(word for word in words if word)}"

    def result(self, outcome: Outcome, exit_code: int, error: ErrorDetails | None = None) -> Result:
        """Return the line that ends the job, or the command where there is none; it is told once."""
        self.told = exit_code
        saved = self.saved
        now = self.monotonic()
        fetched_since = next((at for at in (self.fetched_since, self.processed) if at is not None), self.began)
        return Result(
            job_id=self.job_id,
            project_id=self.project_id,
            outcome=outcome,
            exit_code=exit_code,
            error=error,
            file=printable(str(saved.path)) if saved and saved.path else None,
            bytes=saved.bytes if saved else None,
            sha256=saved.sha256 if saved else None,
            verified=saved.verified if saved else None,
            warnings=self.warnings,
            seconds=Seconds(
                processing=None if self.processed is None else round(self.processed - self.began, 3),
                downloading=None if self.downloaded is None else round(self.downloaded - fetched_since, 3),
                total=round(now - self.began, 3),
            ),
            stats=self._stats(),
        )

    def _stats(self) -> Stats:
        resumed_from = self.saved.resumed_from if self.saved else None
        if self.follower is None or self.watch is None:
            return Stats(resumed_from=resumed_from)
        return Stats(
            events=self.watch.events,
            duplicates=self.watch.sequencer.duplicates,
            reconnects=self.follower.reconnects,
            polls=self.follower.polls,
            resumed_from=resumed_from,
        )


def error_of(job: Job) -> ExportctlError | None:
    """Return the error that a job's end is, None for a completed one."""
    match job.end:
        case Failed(error=error, code=code, hint=hint, retryable=retryable):
            first = error.strip().split("\n", 1)[0]
            return ExportFailed(
                f"the export failed on the server: {first}",
                hint=hint or ("the same command may succeed now" if retryable else None),
                code=code,
            )
        case Cancelled(cancelled_by=who):
            return CancelledElsewhere(f"the export was cancelled{f' by {who}' if who else ''}")
        case Completed() | None:
            return None


def details(error: ExportctlError) -> ErrorDetails:
    """Return the error as a line's own part."""
    return ErrorDetails(code=error.code, message=printable(error.message), hint=error.hint and printable(error.hint))


def signal_status(number: signal.Signals) -> int:
    """Return the exit status of a command that a signal ended."""
    return 128 + number


def printable(text: str) -> str:
    """Return `text` as it may stand in UTF-8: a path's bytes that are none are replaced."""
    return text.encode("utf-8", "replace").decode()
