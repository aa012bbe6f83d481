"""Asking a server for an export: at once, until there is room, or by joining the job that takes it (`--if-busy`)."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from exportctl.client.api import Api, Project
from exportctl.client.starting import start_job
from exportctl.commands.body.job_name import EMBEDDED
from exportctl.commands.body.session import Session
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings
from exportctl.commands.options import IfBusy
from exportctl.model.errors import Busy
from exportctl.model.lines import Log
from exportctl.store.jobs import ENDED, KnownJob

AGAIN_SECONDS: Final = 5.0
"""Between questions where the server does not say how long to wait."""
LONGEST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The job that does what was asked for. `is_joined`: another command has started it."""

    job_id: str
    is_joined: bool = False


async def begin(
    stopping: Stopping,
    api: Api,
    project: Project,
    options: Mapping[str, object],
    *,
    if_busy: IfBusy,
    strangers: Callable[[], Iterable[str]] = tuple,
) -> Begun:
    """Start the export and note in the report that its job is known. Raises `Busy` where it was not to wait or join.

    `strangers` are the jobs that a socket has heard of so far. While nothing is under way a signal just leaves.
    """
    session, report, key = stopping.session, stopping.session.report, str(uuid.uuid4())
    while True:
        report.is_starting = True
        try:
            job_id = await start_job(api, project.id, options, name=project.title, key=key, strangers=strangers)
            begun = Begun(job_id=job_id)
        except Busy as busy:
            report.is_starting = False
            stopping.not_started()
            found = await _running(api, project, options) if if_busy == "join" else None
            if found is None and if_busy != "wait":
                raise
            if found is None:
                await _wait(session, project, busy)
                continue
            begun = Begun(job_id=found, is_joined=True)
            _log(session, project, "busy-joined", f"job {found} of the same options is running: it is followed")
        report.is_starting, report.job_id = False, begun.job_id
        return begun


def known_job(settings: Settings, begun: Begun, project: Project, options: Mapping[str, object]) -> KnownJob:
    """Return what this machine's store is to know of the job."""
    return KnownJob(
        server=settings.server or EMBEDDED,
        job_id=begun.job_id,
        project_id=project.id,
        project_title=project.title,
        profile=settings.profile,
        options=orjson.dumps(options).decode(),
        is_started_here=not begun.is_joined,
    )


async def _wait(session: Session, project: Project, busy: Busy) -> None:
    if session.waiting_for != "a free place":
        session.waiting_for = "a free place"
        _log(session, project, "busy-waiting", f"{busy.message}: asked again until there is room")
    await asyncio.sleep(min(busy.retry_after or AGAIN_SECONDS, LONGEST_SECONDS))


async def _running(api: Api, project: Project, options: Mapping[str, object]) -> str | None:
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
    session.tell(Log(project_id=project.id, level="info", code=code, message=message))
    session.say_now(message[:1].upper() + message[1:])
