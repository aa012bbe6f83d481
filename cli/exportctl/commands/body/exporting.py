"""The parts of the main job: follow a job to its end, tell how it ended, fetch its archive."""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from exportctl.client.api import Api, Project
from exportctl.client.destination import Destination
from exportctl.client.download import Archive, Download, check_space, present_archive
from exportctl.client.embedded import Embedded
from exportctl.client.follow import Follower, Transport
from exportctl.client.pace import Pace
from exportctl.client.watch import Watch
from exportctl.commands.body.report import Report, details, error_of, signal_status
from exportctl.commands.body.session import Session
from exportctl.commands.options import Connection, Interrupt, Saving
from exportctl.model.errors import CancelledElsewhere, ExportFailed, Unreachable, Usage
from exportctl.model.job import Job
from exportctl.model.lines import Outcome
from exportctl.protocol.events import Cancelled, Completed

TERMINATE_SECONDS: Final = 8.0
"""CI runners kill 10 s after SIGTERM."""
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)(i?)[bB]?(?:/s)?")
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3}


def make_follower(session: Session, api: Api, connection: Connection) -> Follower:
    """Return the follower that tells this session's lines."""
    transport: Transport = connection.transport
    return Follower(
        api=api,
        tell=session.tell,
        sleep=asyncio.sleep,
        jitter=random.random,
        monotonic=time.monotonic,
        transport=transport,
        poll_interval=connection.poll_interval,
    )


@dataclass(slots=True, kw_only=True)
class Following:
    """One job of a command from its watch to its end, with what a signal does meanwhile."""

    session: Session
    report: Report
    follower: Follower
    on_interrupt: Interrupt

    async def end(self, watch: Watch) -> Job:
        """Return the job when it has ended. The first signal cancels or detaches; the second always leaves."""
        session, report = self.session, self.report
        report.follower, report.watch = self.follower, watch
        session.waiting_for = f"job {watch.job.job_id}"
        stop = asyncio.Event()

        def take(_number: signal.Signals) -> None:
            stop.set()

        is_cancelling = self.on_interrupt == "cancel"
        session.on_signal = take if is_cancelling else None
        if is_cancelling and session.caught not in {None, signal.SIGHUP}:
            stop.set()  # it came while the job was being started
        canceller = asyncio.create_task(self._cancel(watch, stop))
        try:
            job = await asyncio.shield(watch.ended)
        finally:
            session.on_signal = None
            canceller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await canceller
        report.processing_ended()
        if isinstance(job.end, Completed):
            report.warnings = job.end.warnings
        return job

    async def _cancel(self, watch: Watch, stop: asyncio.Event) -> None:
        await stop.wait()
        session = self.session
        if session.caught is signal.SIGHUP:
            session.leave()
            return
        session.say_now("Cancelling…")
        with contextlib.suppress(Unreachable):
            await self.follower.cancel(watch, f"{session.caught.name if session.caught else 'signal'} in exportctl")
        if session.caught is signal.SIGTERM:
            await asyncio.sleep(TERMINATE_SECONDS)
            session.leave()


def check_stdout(*, ndjson: bool) -> None:
    """Raise `Usage` where the archive may not go to standard output."""
    if ndjson:
        raise Usage(
            "-o - and --ndjson both want standard output",
            hint="--events FILE puts the lines into a file",
            code="STDOUT",
        )
    if os.isatty(1):
        raise Usage("-o - would write the archive to the terminal", hint="redirect it, or name a file", code="STDOUT")


@contextlib.contextmanager
def ends_with(child: Embedded, session: Session) -> Iterator[None]:
    """End the command when the embedded server ends by itself; its jobs do not outlive the command."""
    session.outlives = False

    def gone(died: asyncio.Task[str]) -> None:
        if not died.cancelled():
            session.abort(
                Unreachable(
                    f"the embedded server ended unexpectedly: {died.result()}",
                    hint="please report it with the command; memory or disk may be short",
                    code="SERVER_DIED",
                )
            )

    child.died.add_done_callback(gone)
    try:
        yield
    finally:
        child.died.remove_done_callback(gone)


def conclude(session: Session, report: Report, job: Job) -> int | None:
    """Tell how a job ended that leaves nothing to fetch, and return the status; None for one that is completed."""
    interrupted = session.caught
    if isinstance(job.end, Cancelled) and interrupted is not None:
        status = signal_status(interrupted)
        session.tell(report.result(Outcome.CANCELLED, status))
        return status
    error = error_of(job)
    if isinstance(error, ExportFailed):
        return session.fail(error, Outcome.FAILED, report=report)
    if isinstance(error, CancelledElsewhere):
        return session.fail(error, Outcome.CANCELLED, report=report)
    if interrupted is not None:
        status = signal_status(interrupted)
        late = Usage(
            "the export was completed before it could be cancelled",
            hint=session.resume_hint(report),
            code="COMPLETED_FIRST",
        )
        session.errors.append(late)
        session.tell(report.result(Outcome.COMPLETED, status, details(late)))
        return status
    return None


def archive_of(project_id: str, job: Job) -> Archive:
    """Return what the job's events said of its archive."""
    facts = job.archive
    return Archive(
        project_id=project_id,
        job_id=job.job_id,
        size=facts.file_size if facts else None,
        sha256=facts.sha256 if facts else None,
    )


async def fetch(
    session: Session,
    api: Api,
    archive: Archive,
    project: Project,
    *,
    destination: Destination,
    saving: Saving,
    accepts_present: bool = False,
) -> int:
    """Bring the archive to its destination and tell the end; return the status.

    `accepts_present`: a file that is there already, complete and verified, is success without a byte fetched.
    """
    session.waiting_for = "the archive"
    pace = Pace(
        job_id=archive.job_id,
        project_id=project.id,
        tell=session.tell,
        monotonic=time.monotonic,
        sleep=asyncio.sleep,
        limit=parse_rate(saving.limit_rate),
    )
    download = Download(
        api=api,
        archive=archive,
        pace=pace,
        tell=session.tell,
        sleep=asyncio.sleep,
        jitter=random.random,
        verify=saving.verify,
        keeps_partial=session.outlives,
    )
    if destination.is_stdout:
        saved = await download.to_descriptor(1)
    else:
        target = destination_path(destination, project, archive.job_id)
        present = await present_archive(target, archive) if accepts_present else None
        if present is None:
            destination.check(project=project.title or project.id, today=today())
            destination.check_free(target)
            check_space(target, archive)
            saved = await download.to_file(target, overwrite=destination.overwrite)
        else:
            saved = present
        session.say(str(target))
    session.report.downloading_ended(saved)
    status = ExportFailed.exit_status if saving.strict and session.report.warnings else 0
    session.tell(session.report.result(Outcome.COMPLETED, status))
    return status


def destination_path(destination: Destination, project: Project, job_id: str) -> Path:
    """Return where the archive of this job goes."""
    return destination.path(project=project.title or project.id, job_id=job_id, today=today())


def today() -> date:
    """Return the local date, for `{date}`."""
    return datetime.now().astimezone().date()


def parse_rate(text: str | None) -> float | None:
    """Return bytes a second; `k`, `M`, `G` are powers of 1000, `Ki` … of 1024. Raises `Usage`."""
    if text is None:
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise Usage(f"--limit-rate {text!r} is no rate", hint="bytes a second: 500k, 2M, 1.5G")
    unit = 1024 if found[3] else 1000
    return float(float(found[1]) * unit ** _POWERS[found[2].lower()])
