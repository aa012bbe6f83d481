"""Fetch and verify the archive of a finished job."""

from exportctl.client.api import JobStatus, Project
from exportctl.client.destination import parse_output
from exportctl.client.download import Archive
from exportctl.commands.body import exporting
from exportctl.commands.body.job_name import find_job
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Saving, Shared
from exportctl.model.errors import Busy, CancelledElsewhere, ExportctlError, ExportFailed


def download(job: str, *, shared: Shared, connection: Connection, saving: Saving) -> int:
    """Fetch the archive; return the exit status."""
    return conduct(
        "download",
        shared,
        lambda: server_settings(connection, "download"),
        lambda session, found: _download(session, found, job, saving),
    )


async def _download(session: Session, settings: Settings, job: str, saving: Saving) -> int:
    destination = parse_output(saving.output, overwrite=saving.overwrite)
    exporting.parse_rate(saving.limit_rate)
    if destination.is_stdout:
        exporting.check_stdout(ndjson=session.shared.ndjson)
    async with reached(session, settings) as api:
        seen = await find_job(api, job)
        report = session.report
        report.job_id, report.project_id, report.warnings = seen.id, seen.project_id, seen.warnings
        if seen.status != "completed":
            raise _not_ready(seen)
        report.processing_ended()
        project = Project(id=seen.project_id or "", title=seen.project_name or seen.project_id or "", image_count=None)
        archive = Archive(project_id=project.id, job_id=seen.id, size=seen.file_size, sha256=seen.sha256)
        return await exporting.fetch(
            session, api, archive, project, destination=destination, saving=saving, accepts_present=True
        )


def _not_ready(seen: JobStatus) -> ExportctlError:
    match seen.status:
        case "failed":
            return ExportFailed(f"job {seen.id} failed; there is no archive", hint="exportctl run makes a new one")
        case "cancelled":
            return CancelledElsewhere(f"job {seen.id} was cancelled; there is no archive")
        case _:
            return Busy(
                f"job {seen.id} is not finished: {seen.status}",
                hint=f"exportctl follow {seen.project_id}/{seen.id}",
                code="NOT_FINISHED",
            )
