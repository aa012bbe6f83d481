"""Attach to jobs and tell their stories until all have ended."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from exportctl.client.api import Api
from exportctl.client.desk import AT_ONCE
from exportctl.client.follow import Follower
from exportctl.commands.body import exporting
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.following import open_follower
from exportctl.commands.body.job_name import Group, Named, find_job, groups_of, parse_name, way_back
from exportctl.commands.body.memory import Memory, open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Interrupt, Shared
from exportctl.model.errors import ExportctlError, NotFound
from exportctl.model.lines import Log, Outcome
from exportctl.store.jobs import KnownJob


def follow(jobs: list[str], *, shared: Shared, connection: Connection, after: int, on_interrupt: Interrupt) -> int:
    """Follow the jobs; return the exit status, that of the first named one which is not done."""
    memory = open_memory(shared)
    names: list[Named] = []

    groups: list[Group] = []

    def settings() -> Settings:
        names.extend(_named(jobs, memory, connection))
        groups.extend(groups_of(names, connection, "follow"))
        return groups[0].settings if groups else settings_of(connection)

    async def body(session: Session, _found: Settings) -> int:
        if not names:
            session.remark(Log(level="info", code="nothing-to-follow", message="no unfinished job was started here"))
            return session.conclude(session.report, Outcome.OK, 0)
        session.way_back = way_back(shared, connection)
        session.reports = [
            Report(monotonic=time.monotonic, job_id=named.word, project_id=named.project_id, known=named.known)
            for named in names
        ]
        with Stopping(session=session, on_interrupt=on_interrupt) as stopping:
            following = Following(stopping=stopping, connection=connection, names=names, after=after)
            async with asyncio.TaskGroup() as servers:
                for group in groups:
                    servers.create_task(following.server(group))
        return next((report.told for report in session.reports if report.told), 0)

    return conduct("follow", shared, settings, body, memory=memory)


def _named(jobs: Sequence[str], memory: Memory, connection: Connection) -> list[Named]:
    """Return the jobs named, each once; without a name all unfinished ones that this user started."""
    if jobs:
        found = {named.word: named for named in (parse_name(text, memory, connection) for text in jobs)}
        return list(found.values())
    return [
        Named(text=known.job_id, project_id=known.project_id, word=known.job_id, known=known)
        for known in memory.ask(lambda store: store.unfinished(), list[KnownJob]())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The following of several jobs, which may be on several servers; `gate` lets few of them in at a time."""

    stopping: Stopping
    connection: Connection
    names: Sequence[Named]
    after: int
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def server(self, group: Group) -> None:
        """Follow the jobs of one server. Its troubles are no other server's."""
        session = self.stopping.session
        reports = [session.reports[index] for index in group.indices]
        try:
            if group.problem is not None:
                raise group.problem
            async with (
                reached(session, group.settings) as api,
                open_follower(session, api, self.connection) as follower,
            ):
                await follower.connected()
                async with asyncio.TaskGroup() as jobs:
                    for index, report in zip(group.indices, reports, strict=True):
                        jobs.create_task(self._one(group.settings, self.names[index], report, api, follower))
        except ExportctlError as error:
            for report in reports:
                if isinstance(error, NotFound):
                    session.memory.ended(report, "gone")
                session.fail(error, report=report)

    async def _one(self, settings: Settings, named: Named, report: Report, api: Api, follower: Follower) -> None:
        """Follow one job to its end and tell it. Its troubles are no other job's."""
        session = self.stopping.session
        try:
            async with self.gate:
                seen = await find_job(api, named)
            if follower.is_watching(seen.id):
                report.told = 0  # named twice, by its id and the beginning of it: its other report tells of it
                return
            report.job_id, report.project_id = seen.id, seen.project_id
            session.memory.begin(
                report,
                KnownJob(
                    server=settings.server or "",
                    job_id=seen.id,
                    project_id=seen.project_id,
                    project_title=seen.project_name,
                    profile=settings.profile,
                ),
            )
            watch = follower.watch(seen.project_id or "", seen.id, after=self.after)
            job = await self.stopping.end(api, follower, watch, report)
        except ExportctlError as error:
            if isinstance(error, NotFound):
                session.memory.ended(report, "gone")
            session.fail(error, report=report)
            return
        if exporting.conclude(session, report, job) is None:
            session.conclude(report, Outcome.COMPLETED, 0)
