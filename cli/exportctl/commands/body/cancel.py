"""Cancel jobs and wait for the server's word that they ended."""

import asyncio
import time
from typing import Final

from exportctl.client.api import Api, JobStatus
from exportctl.client.follow import Follower
from exportctl.commands.body import exporting
from exportctl.commands.body.job_name import Named, find_job, learn, parse_name, settings_for, way_back
from exportctl.commands.body.memory import open_memory, status_of
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session, conduct
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

    def settings() -> Settings:
        found = {named.word: named for named in (parse_name(text, memory) for text in jobs)}
        names.extend(found.values())
        return settings_for(names, connection, "cancel")

    async def body(session: Session, found: Settings) -> int:
        session.way_back = way_back(shared, connection)
        session.reports = [Report(monotonic=time.monotonic, job_id=named.word) for named in names]
        async with reached(session, found) as api:
            cancelling = Cancelling(session, api, connection)
            async with asyncio.TaskGroup() as group:
                ends = [
                    group.create_task(cancelling.cancel(named, report))
                    for named, report in zip(names, session.reports, strict=True)
                ]
            return next((status for end in ends if (status := end.result())), 0)

    return conduct("cancel", shared, settings, body, has_progress=False, memory=memory)


class Cancelling:
    """The cancelling of several jobs of one server."""

    def __init__(self, session: Session, api: Api, connection: Connection) -> None:
        self._session = session
        self._api = api
        self._connection = connection

    async def cancel(self, named: Named, report: Report) -> int:
        """Cancel one job and tell its end; return its status."""
        session = self._session
        try:
            seen = await find_job(self._api, named)
            report.job_id, report.project_id = seen.id, seen.project_id
            learn(session.memory, named, seen)
            if seen.status in _OUTCOMES:
                session.say(f"{seen.project_id}/{seen.id}: had ended already, {seen.status}")
                return session.conclude(report, _OUTCOMES[seen.status], 0)
            session.say_now(f"Cancelling {seen.project_id}/{seen.id}…")
            async with exporting.open_follower(session, self._api, self._connection) as follower:
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
        await follower.cancel(report.watch, "exportctl cancel")
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
