"""The jobs that this machine knows, and those that their servers tell of, merged into rows.

What the server says of a job goes before what was noted of it here, but for an end that was noted since. Without an
answer the notes alone are shown, with a warning: a list is a look, and no reason to fail.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast

from exportctl.client.api import Api
from exportctl.client.http import parse_url
from exportctl.client.job_status import JobStatus
from exportctl.client.parking import find_place
from exportctl.commands.body.job_name import settings_of_known
from exportctl.commands.body.projects import columns
from exportctl.commands.body.reaching import parked_home, reached
from exportctl.commands.body.report import printable
from exportctl.commands.body.session import Session
from exportctl.commands.body.status import job_row
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Connection
from exportctl.model.errors import ExportctlError, NotFound
from exportctl.model.lines import JobRow, Log
from exportctl.output.stream import rfc3339
from exportctl.output.table import table
from exportctl.store.jobs import ENDED, KnownJob, Status
from exportctl.store.parked import EMBEDDED, is_parked, parked_name

UNKNOWN: Final = "unfinished"
"""The status of a job that no command has seen the end of, where the server is not asked."""
PARKED: Final = "parked"
"""That of one that waits on this machine for a command to go on with it."""
OTHERS_SECONDS: Final = 3.0
"""How long servers that the command line does not name are waited for."""
HEADINGS: Final = ("PROJECT", "STATUS", "PROGRESS", "BEGUN", "JOB")
NARROW: Final = 56
"""Columns of a terminal below which a table of all that is known of a job cannot be read."""
_MINUTES: Final = len("2026-01-31T12:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is listed: of `project`, by its id or title, or of all; `settings` name the configured server, if any."""

    session: Session
    project: str | None
    connection: Connection
    settings: Settings

    def known(self) -> list[KnownJob]:
        """Return the jobs known here: of the named server where one is named."""
        memory, named = self.session.memory, self.connection.server
        jobs = memory.ask(lambda store: store.all(project=self.project), list[KnownJob]())
        if named is not None:
            return [job for job in jobs if job.server == parse_url(named)]
        if self.project is None or self.settings.server is None:
            return jobs
        return [job for job in jobs if job.server == self.settings.server]

    def servers(self, known: Iterable[KnownJob]) -> list[Settings]:
        """Return the servers to ask: the configured one, and those of jobs whose end is not known here."""
        found = {} if self.settings.server is None else {self.settings.server: self.settings}
        for job in known:
            if job.has_ended or job.server in found or job.server == EMBEDDED or is_parked(job.server):
                continue
            try:
                found[job.server] = settings_of_known(job, self.connection)
            except ExportctlError:
                continue  # a profile that is no more, or says another server now
        return list(found.values())

    async def look(self) -> list[JobRow]:
        """Return the rows as they are now, after one look at each server."""
        known = self.known()
        seen: dict[str, JobStatus] = {}
        async with asyncio.TaskGroup() as group:
            for settings in self.servers(known):
                group.create_task(self._ask(settings, known, seen))
        return self.merged(known, seen)

    async def _ask(self, settings: Settings, known: Sequence[KnownJob], seen: dict[str, JobStatus]) -> None:
        session = self.session
        is_configured = settings.server == self.settings.server
        mine = [job for job in known if job.server == settings.server]
        try:
            async with asyncio.timeout(None if is_configured else OTHERS_SECONDS), reached(session, settings) as api:
                seen |= await _asked(api, self.project if is_configured else None, mine)
        except (ExportctlError, TimeoutError) as error:
            if is_configured and self.project is not None and not known and isinstance(error, ExportctlError):
                raise
            message = error.message if isinstance(error, ExportctlError) else f"no answer from {settings.server}"
            session.tell(Log(level="warning", code="server-not-asked", message=message))
            session.say_now(f"Only what this machine knows: {message}")

    def merged(self, known: Sequence[KnownJob], seen: Mapping[str, JobStatus]) -> list[JobRow]:
        """Return one row a job, the latest first; what a server says of an end is noted here."""
        rows: list[JobRow] = []
        left = dict(seen)
        for job in known:
            status = left.pop(job.job_id, None)
            if status is None:
                rows.append(self._row(job))
                continue
            row = job_row(status)
            if job.status is not None and job.has_ended and status.status not in ENDED:
                row = replace(row, status=job.status)  # noted since by another command
            rows.append(row)
            if not job.has_ended and status.status in ENDED:
                self.session.memory.note_end(job, cast("Status", status.status))
        rows += [job_row(status) for status in left.values()]
        return sorted(rows, key=lambda row: row.created_at or "", reverse=True)

    def _row(self, job: KnownJob) -> JobRow:
        """Return a job as it is known here."""
        return JobRow(
            job_id=job.job_id,
            project_id=job.project_id,
            status=job.status or (PARKED if self._waits(job) else UNKNOWN),
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

    def _waits(self, job: KnownJob) -> bool:
        """Whether the job is parked and no command is with it."""
        home = parked_home(self.session)
        place = None if home is None or not is_parked(job.server) else find_place(home, parked_name(job.server))
        return place is not None and not place.is_used()


async def _asked(api: Api, project: str | None, known: Sequence[KnownJob]) -> dict[str, JobStatus]:
    """Return what the server says: of a project's history, and of the jobs whose end is not known here."""
    seen: dict[str, JobStatus] = {}
    if project is not None:
        found = await api.find_project(project)
        seen = {one.id: replace(one, project_id=one.project_id or found.id) for one in await api.history(found.id)}
    for job in known:
        if job.has_ended or job.job_id in seen:
            continue
        try:
            status = await api.status(job.project_id, job.job_id)
        except NotFound:
            continue
        seen[job.job_id] = replace(status, project_id=status.project_id or job.project_id)
    return seen


def shown(rows: Sequence[JobRow]) -> list[str]:
    """Return the rows as a table for people, to fit the terminal; a narrow one has no room for the jobs' names."""
    room = columns()
    kept = len(HEADINGS) if room is None or room >= NARROW else HEADINGS.index("BEGUN")
    return table(HEADINGS[:kept], [cells(row)[:kept] for row in rows], columns=room, numbers=("PROGRESS",))


def cells(row: JobRow) -> tuple[str, ...]:
    """Return what people see of a row."""
    return (
        row.project_name or row.project_id or "",
        row.status,
        "" if row.progress is None else f"{row.progress:.0f} %",
        (row.created_at or "")[:_MINUTES].replace("T", " "),
        f"{row.project_id}/{row.job_id}",
    )
