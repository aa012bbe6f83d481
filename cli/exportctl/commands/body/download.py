"""Fetch and verify the archive of a finished job."""

from exportctl.client.api import Api, Project
from exportctl.client.archive import Archive
from exportctl.client.destination import parse_output
from exportctl.client.extracted import left_at
from exportctl.client.job_status import JobStatus
from exportctl.client.partial import Partial
from exportctl.commands.body import bringing, exporting
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.job_name import Named, find_job, learn, parse_name, settings_for, way_back
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Connection, Saving, Shared
from exportctl.model.errors import Busy, CancelledElsewhere, ExportctlError, ExportFailed
from exportctl.store.jobs import KnownJob


def download(job: str, *, shared: Shared, connection: Connection, saving: Saving) -> int:
    """Fetch the archive; return the exit status."""
    memory = open_memory(shared)
    names: list[Named] = []

    def settings() -> Settings:
        names.append(parse_name(job, memory, connection))
        return settings_for(names, connection, "download")

    async def body(session: Session, found: Settings) -> int:
        session.way_back = way_back(shared, connection)
        return await _download(session, found, names[0], saving)

    return conduct("download", shared, settings, body, memory=memory)


async def _download(session: Session, settings: Settings, named: Named, saving: Saving) -> int:
    destination = parse_output(saving.output, overwrite=saving.overwrite, extract=saving.extract)
    exporting.parse_rate(saving.limit_rate)
    if destination.is_stdout:
        exporting.check_stdout(ndjson=session.shared.ndjson)
    async with reached(session, settings) as api:
        seen = await find_job(api, named)
        report = session.report
        report.job_id, report.project_id, report.warnings = seen.id, seen.project_id, seen.warnings
        learn(session.memory, named, seen)
        if seen.status != "completed":
            raise not_ready(seen)
        report.processing_ended()
        project = project_of(seen)
        target = None if destination.is_stdout else exporting.destination_path(destination, project, seen.id)
        folder = destination.folder(project=project.title, job_id=seen.id, today=exporting.today())
        if folder is not None and left_at(folder, seen.id) is None:
            destination.check_free(folder, is_folder=True)  # else `resume` would be told to go on with it
        session.memory.begin(
            report,
            KnownJob(
                server=settings.server or "",
                job_id=seen.id,
                project_id=project.id,
                project_title=seen.project_name,
                profile=settings.profile,
                is_wanted=target is not None,
                output=target,
                extract=folder,
                partial=None if target is None else Partial(target, seen.id).path,
                overwrites=destination.overwrite,
            ),
        )
        session.memory.ended(report, "completed")
        return await bringing.fetch(
            session,
            api,
            archive_of(api, seen),
            project=project,
            destination=destination,
            saving=saving,
            report=report,
            accepts_present=True,
        )


def archive_of(api: Api, seen: JobStatus) -> Archive:
    """Return the archive that a finished job's status tells of."""
    return Archive(
        project_id=seen.project_id or "",
        job_id=seen.id,
        size=seen.file_size,
        sha256=seen.sha256,
        completed_at=seen.completed_at if api.protocol == 1 else None,
    )


def project_of(seen: JobStatus) -> Project:
    """Return the project of a job, as far as the job's status names it."""
    return Project(id=seen.project_id or "", title=seen.project_name or seen.project_id or "", image_count=None)


def not_ready(seen: JobStatus) -> ExportctlError:
    """Return the error for a job that has no archive, or none yet."""
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
