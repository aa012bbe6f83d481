"""Finish everything that was interrupted: attach to unfinished jobs, and download what is ready.

All unfinished jobs of a server are followed at once; archives are fetched one after the other, each to where its own
command would have put it.
"""

import asyncio
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby

import orjson

from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.destination import Destination, parse_output, place_at
from exportctl.client.follow import Follower
from exportctl.client.http import parse_url
from exportctl.client.job_status import JobStatus
from exportctl.client.starting import find_started
from exportctl.commands.body import bringing, exporting
from exportctl.commands.body.ahead import Ahead, may_fetch_ahead
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.download import archive_of, not_ready, project_of
from exportctl.commands.body.following import open_follower
from exportctl.commands.body.job_name import settings_of_known
from exportctl.commands.body.memory import Memory, open_memory
from exportctl.commands.body.reaching import prune_parked, reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.body.starting import Begun, named_job
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Saving, Shared
from exportctl.model.errors import ExportctlError, NotFound, Usage
from exportctl.model.lines import Log, Outcome
from exportctl.protocol.events import Completed
from exportctl.store.jobs import KnownJob, LostStart


def resume(*, shared: Shared, connection: Connection, saving: Saving) -> int:
    """Finish what was interrupted; return the exit status, that of the oldest job that is not done."""
    memory = open_memory(shared)
    reports: list[Report] = []
    lost: dict[int, LostStart] = {}

    def settings() -> Settings:
        found = settings_of(connection)
        if shared.no_state or memory.jobs is None:
            raise Usage(
                "resume goes on with what this machine knows, and --no-state or EXPORTCTL_STATE says to know nothing"
            )
        server = None if connection.server is None else parse_url(connection.server)
        reports.extend(_interrupted(memory, server, lost))
        return found

    async def body(session: Session, _found: Settings) -> int:
        exporting.parse_rate(saving.limit_rate)
        destination = parse_output(saving.output, overwrite=saving.overwrite, extract=saving.extract)
        if destination.is_stdout:
            raise Usage(
                "resume has files to write, not one archive for standard output", hint="exportctl download JOB -o -"
            )
        prune_parked(session)
        if not reports:
            session.remark(Log(level="info", code="nothing-to-resume", message="nothing was interrupted here"))
            return session.conclude(session.report, Outcome.OK, 0)
        session.reports = list(reports)
        one_place = None if saving.output is None and saving.extract is None else destination
        if one_place is not None and len(reports) > 1 and "{job}" not in (one_place.template or ""):
            raise Usage("-o names one file, and several jobs have an archive", hint="-o FOLDER/, or a name with {job}")
        resuming = Resuming(session=session, connection=connection, saving=saving, destination=one_place, lost=lost)
        with Stopping(session=session, on_interrupt="detach") as stopping:
            async with asyncio.TaskGroup() as group:
                for _, of_server in groupby(sorted(session.reports, key=_server_of), key=_server_of):
                    group.create_task(resuming.server(list(of_server), stopping))
        return next((report.told for report in session.reports if report.told), 0)

    return conduct("resume", shared, settings, body, memory=memory)


def _interrupted(memory: Memory, server: str | None, lost: dict[int, LostStart]) -> list[Report]:
    """Return a report for each job to go on with, of all servers or of this one, the oldest first; fill `lost`."""
    starts, known = memory.ask(lambda jobs: jobs.interrupted(), (list[LostStart](), list[KnownJob]()))
    reports = []
    for job, start in [*((start.job, start) for start in starts), *((job, None) for job in known)]:
        if server is not None and job.server != server:
            continue
        report = Report(monotonic=time.monotonic, job_id=job.job_id or None, project_id=job.project_id, known=job)
        reports.append(report)
        if start is not None:
            lost[id(report)] = start
    return sorted(reports, key=lambda report: report.known.began_at if report.known else 0.0)


def _server_of(report: Report) -> str:
    return "" if report.known is None else report.known.server


@dataclass(slots=True, kw_only=True)
class Resuming:
    """One `resume`. `destination` None: each archive goes where it was meant to go. `lost`: starts, by their report."""

    session: Session
    connection: Connection
    saving: Saving
    destination: Destination | None
    lost: Mapping[int, LostStart]
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
                open_follower(session, api, self.connection) as follower,
            ):
                await follower.connected()
                async with asyncio.TaskGroup() as group:
                    for report in reports:
                        group.create_task(self._job(report, stopping, api, follower))
        except ExportctlError as error:
            for report in reports:
                if isinstance(error, NotFound):
                    self._forget(report)
                session.fail(error, report=report)

    def _forget(self, report: Report) -> None:
        """Note that there is nothing to go on with: it is told once."""
        start = self.lost.get(id(report))
        if start is None or report.job_id is not None:
            self.session.memory.ended(report, "gone")
        else:
            self.session.memory.ask(lambda jobs: jobs.forget_start(start.key), None)

    async def _job(self, report: Report, stopping: Stopping, api: Api, follower: Follower) -> None:
        """Go on with one job to its file; whatever keeps it from that is told as its end."""
        session = self.session
        try:
            start = self.lost.get(id(report))
            if start is not None:
                await self._find(report, start, api)
            known = report.known
            if known is None:
                return
            seen = await api.status(known.project_id, known.job_id)
            report.project_id, report.warnings = seen.project_id or known.project_id, seen.warnings
            seen = replace(seen, project_id=report.project_id)
            if seen.status in {"failed", "cancelled"}:
                session.memory.ended(report, "failed" if seen.status == "failed" else "cancelled")
                outcome = Outcome.FAILED if seen.status == "failed" else Outcome.CANCELLED
                session.fail(not_ready(seen), outcome, report=report)
                return
            if seen.status != "completed":
                found = await self._follow(report, stopping, api, follower, seen=seen, known=known)
                if found is None:
                    return
                seen = found
            else:
                report.processing_ended()
                session.memory.ended(report, "completed")
            async with self._one_at_a_time:
                await self._fetch(report, api, seen, known)
        except ExportctlError as error:
            if isinstance(error, NotFound):
                self._forget(report)
            session.fail(error, report=report)

    async def _follow(
        self, report: Report, stopping: Stopping, api: Api, follower: Follower, *, seen: JobStatus, known: KnownJob
    ) -> JobStatus | None:
        """Follow a job to its end; return how it is then where its archive is still to be fetched, else None."""
        watch = follower.watch(report.project_id or "", known.job_id, after=known.cursor)
        watch.log = known.log
        async with Ahead() as ahead:
            if may_fetch_ahead(api, self.saving):
                ahead.begin(functools.partial(self._fetch, report, api, seen, known))
            job = await ahead.beside(stopping.end(api, follower, watch, report))
            if not isinstance(job.end, Completed):
                await ahead.give_up()
            if exporting.conclude(self.session, report, job) is not None:
                return None
            found = replace(await api.status(report.project_id, known.job_id), project_id=report.project_id)
            return found if await ahead.finish(archive_of(api, found)) is None else None

    async def _find(self, report: Report, start: LostStart, api: Api) -> None:
        """Find the job of a start whose answer was lost, by asking again with its key; it is not started twice."""
        job = start.job
        known_here = self.session.memory.ask(lambda jobs: jobs.all(), list[KnownJob]())
        job_id = await find_started(
            api,
            job.project_id or "",
            orjson.loads(job.options or "{}"),
            name=job.project_title or "",
            key=start.key,
            asked_at=None if start.asked_at is None else datetime.fromisoformat(start.asked_at),
            others=frozenset(known.job_id for known in known_here if known.server == job.server),
        )
        report.job_id = job_id
        self.session.memory.begin(report, named_job(job, Begun(job_id=job_id)), key=start.key)

    async def _fetch(
        self,
        report: Report,
        api: Api,
        seen: JobStatus,
        known: KnownJob,
        facts: asyncio.Future[Archive] | None = None,
    ) -> int:
        """Bring the archive to where it was meant to go, or where it is to go now; `facts` of one still being made."""
        saving = replace(self.saving, overwrite=self.saving.overwrite or known.overwrites)
        project = project_of(seen)
        place, target = self.destination, None
        if place is None and known.output is not None:
            target = known.output
            place = place_at(target, folder=known.extract, overwrite=saving.overwrite)
        place = replace(place or parse_output(None, overwrite=False), overwrite=saving.overwrite)
        if target is None:
            target = exporting.destination_path(place, project, seen.id)
        folder = place.folder(project=project.title or project.id, job_id=seen.id, today=exporting.today())
        self.session.memory.begin(
            report,
            replace(
                known,
                is_wanted=True,
                output=target,
                extract=folder,
                overwrites=saving.overwrite,
                status="completed" if facts is None else known.status,
            ),
        )
        return await bringing.fetch(
            self.session,
            api,
            archive_of(api, seen),
            facts,
            project=project,
            destination=place,
            saving=saving,
            report=report,
            target=target,
            accepts_present=True,
        )
