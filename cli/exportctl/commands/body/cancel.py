"""Cancel jobs and wait for the server's word that they ended."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.client.job_status import JobStatus
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.following import open_follower
from exportctl.commands.body.job_name import Group, Named, find_job, groups_of, learn, parse_name, way_back
from exportctl.commands.body.memory import open_memory, status_of
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.body.stopping import request_cancel
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.errors import ExportctlError
from exportctl.model.job import Job
from exportctl.model.lines import Outcome
from exportctl.protocol.events import Cancelled

_OUTCOMES: Final = {"completed": Outcome.COMPLETED, "failed": Outcome.FAILED, "cancelled": Outcome.CANCELLED}


def cancel(jobs: list[str], *, shared: Shared, connection: Connection) -> int:
    """Cancel the jobs; return the exit status, that of the first named one which could not be."""
    memory = open_memory(shared)
    names: list[Named] = []

    groups: list[Group] = []

    def settings() -> Settings:
        found = {named.word: named for named in (parse_name(text, memory, connection) for text in jobs)}
        names.extend(found.values())
        groups.extend(groups_of(names, connection, "cancel"))
        return groups[0].settings

    async def body(session: Session, _found: Settings) -> int:
        session.way_back = way_back(shared, connection)
        session.reports = [
            Report(monotonic=time.monotonic, job_id=named.word, project_id=named.project_id) for named in names
        ]
        for named in names:
            session.say_now(f"Cancelling {named.text}…")
        async with asyncio.TaskGroup() as servers:
            for group in groups:
                servers.create_task(_cancel(session, connection, names, group))
        return next((report.told for report in session.reports if report.told), 0)

    return conduct("cancel", shared, settings, body, has_progress=False, memory=memory)


async def _cancel(session: Session, connection: Connection, names: Sequence[Named], group: Group) -> None:
    """Cancel the jobs of one server. Its troubles are no other server's."""
    reports = [session.reports[index] for index in group.indices]
    try:
        if group.problem is not None:
            raise group.problem
        async with reached(session, group.settings) as api:
            cancelling = Cancelling(session, api, connection)
            async with asyncio.TaskGroup() as jobs:
                for index, report in zip(group.indices, reports, strict=True):
                    jobs.create_task(cancelling.cancel(names[index], report))
    except ExportctlError as error:
        for report in reports:
            session.fail(error, report=report)


class Cancelling:
    """The cancelling of several jobs of one server."""

    def __init__(self, session: Session, api: Api, connection: Connection) -> None:
        self._session = session
        self._api = api
        self._connection = connection
        self._named: set[str] = set()

    async def cancel(self, named: Named, report: Report) -> int:
        """Cancel one job and tell its end; return its status."""
        session = self._session
        try:
            seen = await find_job(self._api, named)
            if seen.id in self._named:
                report.told = 0  # named twice, by its id and the beginning of it: its other report tells of it
                return 0
            self._named.add(seen.id)
            report.job_id, report.project_id = seen.id, seen.project_id
            learn(session.memory, named, seen)
            if seen.status in _OUTCOMES:
                session.say(f"{seen.project_id}/{seen.id}: had ended already, {seen.status}")
                return session.conclude(report, _OUTCOMES[seen.status], 0)
            async with open_follower(session, self._api, self._connection) as follower:
                await follower.connected()
                job = await self._end(follower, named, report, seen)
        except ExportctlError as error:
            return session.fail(error, report=report)
        if job.end is None:
            raise AssertionError("a job that was followed to its end has one")
        status = status_of(job.end)
        session.say(f"{seen.project_id}/{seen.id}: {_words(job)}")
        return session.conclude(report, _OUTCOMES[status], 0)

    async def _end(self, follower: Follower, named: Named, report: Report, seen: JobStatus) -> Job:
        """Watch from where the job is, ask for its end, and return it when it has come."""
        report.follower = follower
        report.watch = follower.watch(seen.project_id or "", seen.id, after=seen.last_seq or 0)
        report.known = named.known
        report.is_cancelling = True
        self._session.waiting_for = f"the end of job {seen.id}"
        await request_cancel(self._api, follower, report.watch, "exportctl cancel")
        job = await asyncio.shield(report.watch.ended)
        if job.end is not None and report.known is not None:
            self._session.memory.ended(report, status_of(job.end))
        return job


def _words(job: Job) -> str:
    """Return how it ended; the clean-up is the server's claim."""
    if not isinstance(job.end, Cancelled):
        return "had ended before it could be cancelled"
    match job.end.cleanup_completed:
        case True:
            return "cancelled; the server says that it has cleaned up"
        case False:
            return "cancelled; the server has not cleaned up"
        case None:
            return "cancelled"
