"""Attach to jobs and tell their stories until all have ended."""

import asyncio
import time
from collections.abc import Sequence

from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.commands.body import exporting
from exportctl.commands.body.job_name import EMBEDDED, Named, find_job, parse_name, settings_for, way_back
from exportctl.commands.body.memory import Memory, open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Interrupt, Shared
from exportctl.model.errors import ExportctlError
from exportctl.model.lines import Log, Outcome
from exportctl.store.jobs import KnownJob


def follow(jobs: list[str], *, shared: Shared, connection: Connection, after: int, on_interrupt: Interrupt) -> int:
    """Follow the jobs; return the exit status, that of the first named one which is not done."""
    memory = open_memory(shared)
    names: list[Named] = []

    def settings() -> Settings:
        names.extend(_named(jobs, memory))
        return settings_for(names, connection, "follow") if names else settings_of(connection)

    async def body(session: Session, found: Settings) -> int:
        if not names:
            session.tell(Log(level="info", code="nothing-to-follow", message="no unfinished job was started here"))
            session.say_now("No unfinished job was started here.")
            return session.conclude(session.report, Outcome.OK, 0)
        session.way_back = way_back(shared, connection)
        async with reached(session, found) as api:
            session.reports = [await _report(session, api, found, named) for named in names]
            async with exporting.make_follower(session, api, connection) as follower:
                await follower.connected()
                with Stopping(session=session, on_interrupt=on_interrupt) as stopping:
                    async with asyncio.TaskGroup() as group:
                        ends = [
                            group.create_task(_follow(stopping, api, follower, report, after))
                            for report in session.reports
                        ]
                return next((status for end in ends if (status := end.result())), 0)

    return conduct("follow", shared, settings, body, memory=memory)


def _named(jobs: Sequence[str], memory: Memory) -> list[Named]:
    """Return the jobs named, each once; without a name all unfinished ones that this user started."""
    if jobs:
        found = {named.word: named for named in (parse_name(text, memory) for text in jobs)}
        return list(found.values())
    return [
        Named(text=known.job_id, project_id=known.project_id, word=known.job_id, known=known)
        for known in memory.ask(lambda store: store.unfinished(), list[KnownJob]())
        if known.server != EMBEDDED
    ]


async def _report(session: Session, api: Api, settings: Settings, named: Named) -> Report:
    seen = await find_job(api, named)
    report = Report(monotonic=time.monotonic, job_id=seen.id, project_id=seen.project_id)
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
    return report


async def _follow(stopping: Stopping, api: Api, follower: Follower, report: Report, after: int) -> int:
    session = stopping.session
    watch = follower.watch(report.project_id or "", report.job_id or "", after=after)
    try:
        job = await stopping.end(api, follower, watch, report)
    except ExportctlError as error:
        return session.fail(error, report=report)
    status = exporting.conclude(session, report, job)
    return session.conclude(report, Outcome.COMPLETED, 0) if status is None else status
