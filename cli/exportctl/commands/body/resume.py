"""Finish everything that was interrupted: attach to unfinished jobs, and download what is ready.

All unfinished jobs of a server are followed at once; archives are fetched one after the other, each to where its own
command would have put it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from exportctl.client.api import Api, JobStatus
from exportctl.client.archive import Archive
from exportctl.client.destination import Destination, parse_output
from exportctl.client.follow import Follower
from exportctl.client.http import parse_url
from exportctl.commands.body import exporting
from exportctl.commands.body.download import not_ready, project_of
from exportctl.commands.body.job_name import EMBEDDED, settings_of_known
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Saving, Shared
from exportctl.model.errors import ExportctlError, NotFound, Usage
from exportctl.model.lines import Log, Outcome
from exportctl.store.jobs import KnownJob


def resume(*, shared: Shared, connection: Connection, saving: Saving) -> int:
    """Finish what was interrupted; return the exit status, that of the oldest job that is not done."""
    memory = open_memory(shared)
    known: list[KnownJob] = []

    def settings() -> Settings:
        found = settings_of(connection)
        if shared.no_state or memory.jobs is None:
            raise Usage(
                "resume goes on with what this machine knows, and --no-state or EXPORTCTL_STATE says to know nothing"
            )
        server = None if connection.server is None else parse_url(connection.server)
        jobs = memory.ask(lambda jobs: jobs.interrupted(), list[KnownJob]())
        known.extend(job for job in jobs if job.server != EMBEDDED and (server is None or job.server == server))
        return settings_of_known(known[0], connection) if known else found

    async def body(session: Session, _found: Settings) -> int:
        exporting.parse_rate(saving.limit_rate)
        destination = parse_output(saving.output, overwrite=saving.overwrite, extract=saving.extract)
        if destination.is_stdout:
            raise Usage(
                "resume has files to write, not one archive for standard output", hint="exportctl download JOB -o -"
            )
        if not known:
            session.tell(Log(level="info", code="nothing-to-resume", message="nothing was interrupted here"))
            session.say_now("Nothing was interrupted here.")
            return session.conclude(session.report, Outcome.OK, 0)
        session.reports = [
            Report(monotonic=time.monotonic, job_id=job.job_id, project_id=job.project_id, known=job) for job in known
        ]
        one_place = None if saving.output is None else destination
        if one_place is not None and len(known) > 1 and "{job}" not in (one_place.template or ""):
            raise Usage("-o names one file, and several jobs have an archive", hint="-o FOLDER/, or a name with {job}")
        resuming = Resuming(session=session, connection=connection, saving=saving, destination=one_place)
        with Stopping(session=session, on_interrupt="detach") as stopping:
            async with asyncio.TaskGroup() as group:
                for server, reports in groupby(sorted(session.reports, key=_server_of), key=_server_of):
                    del server
                    group.create_task(resuming.server(list(reports), stopping))
        return next((report.told for report in session.reports if report.told), 0)

    return conduct("resume", shared, settings, body, memory=memory)


def _server_of(report: Report) -> str:
    return "" if report.known is None else report.known.server


@dataclass(slots=True, kw_only=True)
class Resuming:
    """One `resume`. `destination` None: each archive goes where it was meant to go."""

    session: Session
    connection: Connection
    saving: Saving
    destination: Destination | None
    _one_at_a_time: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def server(self, reports: Sequence[Report], stopping: Stopping) -> None:
        """Go on with the jobs of one server."""
        session = self.session
        try:
            if (first := reports[0].known) is None:
                return
            settings = settings_of_known(first, self.connection)
            async with (
                reached(session, settings) as api,
                exporting.open_follower(session, api, self.connection) as follower,
            ):
                await follower.connected()
                async with asyncio.TaskGroup() as group:
                    for report in reports:
                        group.create_task(self._job(report, stopping, api, follower))
        except ExportctlError as error:
            for report in reports:
                session.fail(error, report=report)

    async def _job(self, report: Report, stopping: Stopping, api: Api, follower: Follower) -> None:
        """Go on with one job to its file; whatever keeps it from that is told as its end."""
        session, known = self.session, report.known
        if known is None:
            return
        try:
            seen = await api.status(known.project_id, known.job_id)
            report.project_id, report.warnings = seen.project_id or known.project_id, seen.warnings
            seen = replace(seen, project_id=report.project_id)
            if seen.status in {"failed", "cancelled"}:
                session.memory.ended(report, "failed" if seen.status == "failed" else "cancelled")
                outcome = Outcome.FAILED if seen.status == "failed" else Outcome.CANCELLED
                session.fail(not_ready(seen), outcome, report=report)
                return
            if seen.status != "completed":
                watch = follower.watch(report.project_id or "", known.job_id, after=known.cursor)
                watch.log = known.log
                job = await stopping.end(api, follower, watch, report)
                if exporting.conclude(session, report, job) is not None:
                    return
                seen = replace(await api.status(report.project_id, known.job_id), project_id=report.project_id)
            else:
                report.processing_ended()
                session.memory.ended(report, "completed")
            async with self._one_at_a_time:
                await self._fetch(report, api, seen, known)
        except ExportctlError as error:
            if isinstance(error, NotFound):
                session.memory.ended(report, "gone")
            session.fail(error, report=report)

    async def _fetch(self, report: Report, api: Api, seen: JobStatus, known: KnownJob) -> None:
        """Bring the archive to where it was meant to go, or where it is to go now."""
        saving = replace(self.saving, overwrite=self.saving.overwrite or known.overwrites)
        place = self.destination or parse_output(None, overwrite=saving.overwrite)
        project = project_of(seen)
        target = known.output if self.destination is None else None
        if target is None:
            target = exporting.destination_path(place, project, seen.id)
        self.session.memory.begin(
            report, replace(known, is_wanted=True, output=target, overwrites=saving.overwrite, status="completed")
        )
        archive = Archive(project_id=project.id, job_id=seen.id, size=seen.file_size, sha256=seen.sha256)
        await exporting.fetch(
            self.session,
            api,
            archive,
            project,
            destination=replace(place, template=str(target), overwrite=saving.overwrite),
            saving=saving,
            report=report,
            target=target,
            accepts_present=True,
        )
