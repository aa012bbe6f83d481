"""Attach to jobs and tell their stories until all have ended."""

import asyncio
import time

from exportctl.client.follow import Follower
from exportctl.commands.body import exporting
from exportctl.commands.body.job_name import find_job
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Interrupt, Shared
from exportctl.model.errors import ExportctlError
from exportctl.model.lines import Outcome


def follow(jobs: list[str], *, shared: Shared, connection: Connection, after: int, on_interrupt: Interrupt) -> int:
    """Follow the jobs; return the exit status, that of the first named one which is not done."""

    async def body(session: Session, found: Settings) -> int:
        async with reached(session, found) as api:
            statuses = [await find_job(api, name) for name in dict.fromkeys(jobs)]
            session.reports = [
                Report(monotonic=time.monotonic, job_id=status.id, project_id=status.project_id) for status in statuses
            ]
            async with exporting.make_follower(session, api, connection) as follower:
                await follower.connected()
                async with asyncio.TaskGroup() as group:
                    ends = [
                        group.create_task(_follow(session, follower, report, after, on_interrupt))
                        for report in session.reports
                    ]
                return next((status for end in ends if (status := end.result())), 0)

    return conduct("follow", shared, lambda: server_settings(connection, "follow"), body)


async def _follow(session: Session, follower: Follower, report: Report, after: int, on_interrupt: Interrupt) -> int:
    watch = follower.watch(report.project_id or "", report.job_id or "", after=after)
    following = exporting.Following(session=session, report=report, follower=follower, on_interrupt=on_interrupt)
    try:
        job = await following.end(watch)
    except ExportctlError as error:
        return session.fail(error, report=report)
    status = exporting.conclude(session, report, job)
    if status is None:
        session.tell(report.result(Outcome.COMPLETED, 0))
        return 0
    return status
