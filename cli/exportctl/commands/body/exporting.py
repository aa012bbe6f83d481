"""What commands that export share beside the fetching: where the archive goes, and how a job ended without one."""

import os
from datetime import date, datetime
from pathlib import Path

from exportctl.client.api import Project
from exportctl.client.archive import Archive
from exportctl.client.destination import Destination
from exportctl.commands.body.amount import amount_of
from exportctl.commands.body.report import Report, details, error_of, signal_status
from exportctl.commands.body.session import Session
from exportctl.model.errors import CancelledElsewhere, ExportFailed, Usage
from exportctl.model.job import Job
from exportctl.model.lines import Outcome
from exportctl.protocol.events import Cancelled


def check_stdout(*, ndjson: bool) -> None:
    """Raise `Usage` where the archive may not go to standard output."""
    if ndjson:
        raise Usage(
            "-o - and --ndjson both want standard output",
            hint="--events FILE puts the lines into a file",
            code="STDOUT",
        )
    if os.isatty(1):
        raise Usage("-o - would write the archive to the terminal", hint="redirect it, or name a file", code="STDOUT")


def conclude(session: Session, report: Report, job: Job) -> int | None:
    """Tell how a job ended that leaves nothing to fetch, and return the status; None for one that is completed."""
    interrupted = session.caught
    if isinstance(job.end, Cancelled) and interrupted is not None:
        return session.conclude(report, Outcome.CANCELLED, signal_status(interrupted))
    error = error_of(job)
    if isinstance(error, ExportFailed):
        return session.fail(error, Outcome.FAILED, report=report)
    if isinstance(error, CancelledElsewhere):
        return session.fail(error, Outcome.CANCELLED, report=report)
    if interrupted is not None:
        late = Usage(
            "the export was completed before it could be cancelled",
            hint=session.resume_hint(report),
            code="COMPLETED_FIRST",
        )
        session.errors.append(late)
        return session.conclude(report, Outcome.COMPLETED, signal_status(interrupted), details(late))
    return None


def archive_of(project_id: str, job: Job) -> Archive:
    """Return what the job's events said of its archive."""
    facts = job.archive
    return Archive(
        project_id=project_id,
        job_id=job.job_id,
        size=facts.file_size if facts else None,
        sha256=facts.sha256 if facts else None,
    )


def destination_path(destination: Destination, project: Project, job_id: str) -> Path:
    """Return where the archive of this job goes."""
    return destination.path(project=project.title or project.id, job_id=job_id, today=today())


def today() -> date:
    """Return the local date, for `{date}`."""
    return datetime.now().astimezone().date()


def parse_rate(text: str | None) -> float | None:
    """Return bytes a second; `k`, `M`, `G` are powers of 1000, `Ki` … of 1024. Raises `Usage`."""
    if text is None:
        return None
    rate = amount_of(text.strip().removesuffix("/s"))
    if rate < 1:
        raise Usage(f"--limit-rate {text!r} is no rate", hint="bytes a second, one at least: 500k, 2M, 1.5G")
    return rate
