"""Attach to jobs and tell their stories until all have ended."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

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
from exportctl.model.errors import ExportctlError, NotFound
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
            session.reports = [
                Report(monotonic=time.monotonic, job_id=named.word, project_id=named.project_id, known=named.known)
                for named in names
            ]
            async with exporting.open_follower(session, api, connection) as follower:
                await follower.connected()
                following = Following(api=api, follower=follower, settings=found, after=after)
                with Stopping(session=session, on_interrupt=on_interrupt) as stopping:
                    async with asyncio.TaskGroup() as group:
                        ends = [
                            group.create_task(following.one(stopping, named, report))
                            for named, report in zip(names, session.reports, strict=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The following of several jobs of one server."""

    api: Api
    follower: Follower
    settings: Settings
    after: int

    async def one(self, stopping: Stopping, named: Named, report: Report) -> int:
        """Follow one job to its end and tell it; return its status. Its troubles are no other job's."""
        session = stopping.session
        try:
            seen = await find_job(self.api, named)
            report.job_id, report.project_id = seen.id, seen.project_id
            session.memory.begin(
                report,
                KnownJob(
                    server=self.settings.server or "",
                    job_id=seen.id,
                    project_id=seen.project_id,
                    project_title=seen.project_name,
                    profile=self.settings.profile,
                ),
            )
            watch = self.follower.watch(seen.project_id or "", seen.id, after=self.after)
            job = await stopping.end(self.api, self.follower, watch, report)
        except ExportctlError as error:
            if isinstance(error, NotFound):
                session.memory.ended(report, "gone")
            return session.fail(error, report=report)
        status = exporting.conclude(session, report, job)
        return session.conclude(report, Outcome.COMPLETED, 0) if status is None else status
