"""Asking a server for an export: at once, until there is room, or by joining the job that takes it (`--if-busy`)."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from exportctl.client.api import Api, Project
from exportctl.client.asking import is_lost
from exportctl.client.destination import JOB_LETTERS, Destination
from exportctl.client.partial import Partial, is_left
from exportctl.client.starting import start_job
from exportctl.commands.body import exporting
from exportctl.commands.body.session import Session
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings
from exportctl.commands.options import IfBusy
from exportctl.model.errors import Busy, ExportctlError
from exportctl.model.lines import Log
from exportctl.output.stream import rfc3339
from exportctl.store.jobs import ENDED, Jobs, KnownJob, LostStart
from exportctl.store.parked import EMBEDDED

AGAIN_SECONDS: Final = 5.0
"""Between questions where the server does not say how long to wait."""
LONGEST_SECONDS: Final = 60.0
JOB: Final = "{job}"
"""Stands in a path for the first letters of an id that nobody knows yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The job that does what was asked for. `is_joined`: another command has started it."""

    job_id: str
    is_joined: bool = False


async def begin(
    stopping: Stopping,
    api: Api,
    project: Project,
    wanted: KnownJob,
    *,
    if_busy: IfBusy,
    strangers: Callable[[], Iterable[str]] = tuple,
) -> Begun:
    """Start the export and note it and its job here, before and after; the report knows its job then.

    `wanted` is the job without its id (see `wanted_job`). `strangers` are the jobs that a socket has heard of so far.
    Raises `Busy` where it was not to wait or join. While nothing is under way a signal just leaves.
    """
    session, report, key = stopping.session, stopping.session.report, str(uuid.uuid4())
    memory = session.memory
    options = orjson.loads(wanted.options or "{}")
    while True:
        report.is_starting = True
        asked_at = None if api.said_at is None else rfc3339(api.said_at)
        # Noted first: a command that is killed now leaves a start that `resume` can ask for again, by its key.
        memory.ask(partial(_note_start, start=LostStart(key=key, job=wanted, asked_at=asked_at)), None)
        try:
            job_id = await start_job(api, project.id, options, name=project.title, key=key, strangers=strangers)
            begun = Begun(job_id=job_id)
        except Busy as busy:
            report.is_starting = False
            memory.ask(partial(_forget_start, key=key), None)
            stopping.not_started()
            found = await running_job(api, project, options) if if_busy == "join" else None
            if found is None and if_busy != "wait":
                raise
            if found is None:
                await _wait(session, project, busy)
                continue
            begun = joined(session, project, found)
        except ExportctlError as error:
            if not is_lost(error):
                memory.ask(partial(_forget_start, key=key), None)
            raise
        report.is_starting, report.job_id = False, begun.job_id
        memory.begin(report, named_job(wanted, begun), key=key)
        stopping.started()
        return begun


def joined(session: Session, project: Project, job_id: str) -> Begun:
    """Say that a running job is followed, in place of one of its own."""
    _log(session, project, "busy-joined", f"job {job_id} of the same options is running: it is followed")
    return Begun(job_id=job_id, is_joined=True)


def taken_up(session: Session, wanted: KnownJob, begun: Begun) -> Begun:
    """Note that the session's job is one that was begun before, in place of one of its own."""
    session.report.job_id = begun.job_id
    session.memory.begin(session.report, named_job(wanted, begun))
    return begun


async def begun_before(session: Session, api: Api, project: Project, wanted: KnownJob) -> Begun | None:
    """Return the job of this very command that was interrupted while its archive came; None where there is none.

    It is finished and its archive is still there, partly here too, where no other command goes on with it. A job that
    still runs is none of these: what is to become of two at once says `--if-busy`.
    """
    _, known = session.memory.ask(lambda jobs: jobs.interrupted(), (list[LostStart](), list[KnownJob]()))
    for job in reversed(known):
        begun = Begun(job_id=job.job_id, is_joined=True)
        same = named_job(wanted, begun)
        is_same = (job.server, job.project_id, job.options) == (same.server, same.project_id, same.options)
        if not (is_same and (job.output, job.extract) == (same.output, same.extract)):
            continue
        if job.partial is None or not await asyncio.to_thread(is_left, job.partial):
            continue
        try:
            if (await api.status(project.id, job.job_id)).status != "completed":
                continue
            await api.measure(project.id, job.job_id)
        except ExportctlError:
            continue  # whatever is wrong with that one, another is begun
        _log(
            session,
            project,
            "interrupted-before",
            f"job {job.job_id} of this command was interrupted while its archive came: it goes on (a new export:"
            " --overwrite)",
        )
        return taken_up(session, wanted, begun)
    return None


def _note_start(jobs: Jobs, start: LostStart) -> None:
    jobs.note_start(start)


def _forget_start(jobs: Jobs, key: str) -> None:
    jobs.forget_start(key)


def wanted_job(
    settings: Settings, project: Project, options: Mapping[str, object], destination: Destination | None = None
) -> KnownJob:
    """Return what this machine's store is to know of a job that has no id yet, and of where its archive is to go.

    An archive for standard output cannot be fetched later.
    """
    job = KnownJob(
        server=settings.server or EMBEDDED,
        job_id="",
        project_id=project.id,
        project_title=project.title,
        profile=settings.profile,
        options=orjson.dumps(options).decode(),
        is_started_here=True,
    )
    if destination is None or destination.is_stdout:
        return job
    title, today = project.title or project.id, exporting.today()
    return replace(
        job,
        is_wanted=True,
        output=destination.path(project=title, job_id=JOB, today=today),
        extract=destination.folder(project=title, job_id=JOB, today=today),
        overwrites=destination.overwrite,
    )


def named_job(wanted: KnownJob, begun: Begun) -> KnownJob:
    """Return the job with its id, in its paths too."""
    output = _named(wanted.output, begun.job_id)
    return replace(
        wanted,
        job_id=begun.job_id,
        output=output,
        extract=_named(wanted.extract, begun.job_id),
        partial=None if output is None else Partial(output, begun.job_id).path,
        is_started_here=not begun.is_joined,
    )


def _named(path: Path | None, job_id: str) -> Path | None:
    return None if path is None else Path(str(path).replace(JOB, job_id[:JOB_LETTERS]))


async def _wait(session: Session, project: Project, busy: Busy) -> None:
    if session.waiting_for != "a free place":
        session.waiting_for = "a free place"
        _log(session, project, "busy-waiting", f"{busy.message}: asked again until there is room")
    await asyncio.sleep(min(busy.retry_after or AGAIN_SECONDS, LONGEST_SECONDS))


async def running_job(api: Api, project: Project, options: Mapping[str, object]) -> str | None:
    """Return the unfinished job of this project with the same options, None where there is none."""
    wanted = _said(orjson.loads(orjson.dumps(options)))
    for seen in await api.history(project.id):
        if seen.status not in ENDED and _said(seen.options) == wanted:
            return seen.id
    return None


def _said(options: object) -> object:
    """Return the options without the keys that say nothing, which servers add: null is the same as none."""
    if not isinstance(options, Mapping):
        return options
    return {key: _said(value) for key, value in options.items() if value is not None}


def _log(session: Session, project: Project, code: str, message: str) -> None:
    session.remark(Log(project_id=project.id, level="info", code=code, message=message))
