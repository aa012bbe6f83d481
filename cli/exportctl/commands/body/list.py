"""The jobs that this machine knows, and those that the server remembers of a project, as one list.

What the server says of a job goes before what was noted of it here. Without an answer the notes alone are shown, with
a warning: a list is a look, and no reason to fail.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, cast

from exportctl.client.api import Api, JobStatus
from exportctl.client.http import parse_url
from exportctl.commands.body.memory import Memory, open_memory
from exportctl.commands.body.projects import columns
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.report import printable
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.status import job_row
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Shared
from exportctl.model.errors import NotAllowed, NotFound, Unreachable
from exportctl.model.lines import JobRow, Log, Outcome
from exportctl.output.stream import rfc3339
from exportctl.output.table import table
from exportctl.store.jobs import ENDED, KnownJob, Status

_HEADINGS: Final = ("PROJECT", "STATUS", "PROGRESS", "BEGUN", "JOB")
_MINUTES: Final = len("2026-01-31T12:00")
UNKNOWN: Final = "unfinished"
"""The status of a job that no command has seen the end of, where the server is not asked."""


def list_jobs(project: str | None, *, shared: Shared, connection: Connection) -> int:
    """Show the jobs; return the exit status."""
    memory = open_memory(shared)

    async def body(session: Session, found: Settings) -> int:
        known = _known(memory, project, found, connection)
        seen: dict[str, JobStatus] = {}
        if found.server is not None:
            try:
                async with reached(session, found) as api:
                    seen = await _asked(api, project, [job for job in known if job.server == found.server])
            except (Unreachable, NotAllowed, NotFound) as error:
                if project is not None and not known:
                    raise
                session.tell(Log(level="warning", code="server-not-asked", message=error.message))
                session.say_now(f"Only what this machine knows: {error.message}")
        rows = _merged(memory, known, seen)
        for row in rows:
            session.tell(row)
        if rows:
            for line in table(_HEADINGS, [_cells(row) for row in rows], columns=columns(), numbers=("PROGRESS",)):
                session.say(line)
        else:
            session.say_now("No jobs")
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct("list", shared, lambda: settings_of(connection), body, has_progress=False, memory=memory)


def _known(memory: Memory, project: str | None, settings: Settings, connection: Connection) -> list[KnownJob]:
    """Return the jobs known here: of the named server where one is named."""
    jobs = memory.ask(lambda store: store.all(project=project), list[KnownJob]())
    named = None if connection.server is None else parse_url(connection.server)
    return [
        job for job in jobs if job.server == named or (named is None and (project is None or _is_of(job, settings)))
    ]


def _is_of(job: KnownJob, settings: Settings) -> bool:
    return settings.server is None or job.server == settings.server


async def _asked(api: Api, project: str | None, known: Sequence[KnownJob]) -> dict[str, JobStatus]:
    """Return what the server says: of a project's history, and of the jobs whose end is not known here."""
    seen: dict[str, JobStatus] = {}
    if project is not None:
        found = await api.find_project(project)
        seen = {one.id: one for one in await api.history(found.id)}
    for job in known:
        if job.has_ended or job.job_id in seen:
            continue
        try:
            seen[job.job_id] = await api.status(job.project_id, job.job_id)
        except NotFound:
            continue
    return seen


def _merged(memory: Memory, known: Sequence[KnownJob], seen: dict[str, JobStatus]) -> list[JobRow]:
    """Return one row a job, the latest first; what the server says of an end is noted here."""
    rows: list[JobRow] = []
    left = dict(seen)
    for job in known:
        status = left.pop(job.job_id, None)
        if status is None:
            rows.append(_row(job))
            continue
        rows.append(job_row(status))
        if not job.has_ended and status.status in ENDED:
            _note(memory, job, cast("Status", status.status))
    rows += [job_row(status) for status in left.values()]
    return sorted(rows, key=lambda row: row.created_at or "", reverse=True)


def _note(memory: Memory, job: KnownJob, status: Status) -> None:
    memory.ask(lambda store: store.note_end(job, status), None)


def _row(job: KnownJob) -> JobRow:
    """Return a job as it is known here."""
    return JobRow(
        job_id=job.job_id,
        project_id=job.project_id,
        status=job.status or UNKNOWN,
        project_name=job.project_title,
        phase=None,
        stage=None,
        progress=None,
        stage_progress=None,
        estimated_time_remaining=None,
        message=None,
        created_at=rfc3339(datetime.fromtimestamp(job.began_at, UTC)),
        completed_at=None if job.ended_at is None else rfc3339(datetime.fromtimestamp(job.ended_at, UTC)),
        file_name=printable(job.output.name) if job.is_saved and job.output else None,
        file_size=None,
        sha256=None,
        warnings=(),
        error=None,
        last_seq=job.cursor or None,
    )


def _cells(row: JobRow) -> tuple[str, ...]:
    return (
        row.project_name or row.project_id or "",
        row.status,
        "" if row.progress is None else f"{row.progress:.0f} %",
        (row.created_at or "")[:_MINUTES].replace("T", " "),
        f"{row.project_id}/{row.job_id}",
    )
