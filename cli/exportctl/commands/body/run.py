"""The main job: start, follow, fetch, verify; on the configured server or on the embedded one."""

import functools
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from exportctl.client.api import Api, Project
from exportctl.client.archive import Archive
from exportctl.client.claim import Claim, Claimed
from exportctl.client.destination import Destination, parse_output
from exportctl.commands.body import bringing, exporting
from exportctl.commands.body.ahead import Ahead, may_fetch_ahead
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.content import wire_options
from exportctl.commands.body.following import open_follower
from exportctl.commands.body.job_name import way_back
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import embedded, place_for, reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.starting import (
    JOB,
    Begun,
    begin,
    begun_before,
    joined,
    running_job,
    taken_up,
    wanted_job,
)
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, embedded_project, settings_of
from exportctl.commands.options import Connection, Content, IfBusy, Interrupt, Saving, Shared
from exportctl.model.errors import Usage
from exportctl.model.lines import Log, Outcome
from exportctl.protocol.events import Completed
from exportctl.store.jobs import KnownJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one `run` was asked for."""

    target: str
    connection: Connection
    content: Content
    saving: Saving
    sample_size: int | None
    on_interrupt: Interrupt
    if_busy: IfBusy


def run(
    target: str,
    *,
    shared: Shared,
    connection: Connection,
    content: Content,
    saving: Saving,
    sample_size: int | None,
    on_interrupt: Interrupt,
    if_busy: IfBusy,
) -> int:
    """Run the main job from its first line to its last; return the exit status."""
    asked = Run(
        target=target,
        connection=connection,
        content=content,
        saving=saving,
        sample_size=sample_size,
        on_interrupt=on_interrupt,
        if_busy=if_busy,
    )
    return conduct(
        "run",
        shared,
        lambda: settings_of(connection, embedded=content.embedded),
        lambda session, settings: _run(session, settings, asked),
        memory=open_memory(shared),
    )


async def _run(session: Session, settings: Settings, asked: Run) -> int:
    destination = parse_output(asked.saving.output, overwrite=asked.saving.overwrite, extract=asked.saving.extract)
    exporting.parse_rate(asked.saving.limit_rate)
    if destination.is_stdout:
        exporting.check_stdout(ndjson=session.shared.ndjson)
    options = wire_options(asked.content)
    async with AsyncExitStack() as stack:
        reach = await _reach(stack, session, settings, asked, destination)
        api = reach.api
        project = await api.find_project(reach.project)
        _check(destination, project.title or project.id)
        session.report.project_id = project.id
        if asked.content.dry_run:
            return _dry_run(session, project)
        follower = await stack.enter_async_context(open_follower(session, api, asked.connection))
        await follower.connected(before_start=True)
        wanted, report = wanted_job(reach.settings, project, options, destination), session.report
        claim, begun = await _claim(stack, session, reach, project, wanted, joins=asked.if_busy == "join")
        if begun is None and not destination.overwrite and not destination.is_stdout:
            begun = await begun_before(session, api, project, wanted)
        async with Ahead() as ahead:
            with Stopping(session=session, on_interrupt=asked.on_interrupt) as stopping:
                if begun is None:
                    begun = await begin(
                        stopping, api, project, wanted, if_busy=asked.if_busy, strangers=follower.strangers
                    )
                if claim is not None:
                    claim.name(begun.job_id)
                fetch = functools.partial(
                    bringing.fetch,
                    session,
                    api,
                    project=project,
                    destination=destination,
                    saving=asked.saving,
                    report=report,
                    accepts_present=begun.is_joined,
                    claim=claim,
                )
                if may_fetch_ahead(api, asked.saving):
                    unknown = Archive(project_id=project.id, job_id=begun.job_id, size=None, sha256=None)
                    ahead.begin(functools.partial(fetch, unknown))
                watch = follower.watch(project.id, begun.job_id, project_name=project.title, options=options)
                job = await ahead.beside(stopping.end(api, follower, watch, report))
            if not isinstance(job.end, Completed):
                await ahead.give_up()
            status = exporting.conclude(session, report, job)
            if status is not None:
                return status
            archive = exporting.archive_of(project.id, job)
            status = await ahead.finish(archive)
            return await fetch(archive) if status is None else status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The server that a run speaks to, the project's name there, and the output where it is claimed already."""

    api: Api
    project: str
    settings: Settings
    claim: Claim | None = None


async def _reach(
    stack: AsyncExitStack, session: Session, settings: Settings, asked: Run, destination: Destination
) -> Reach:
    """Reach the server; what speaks against the output is said first."""
    if settings.server is not None:
        if asked.sample_size is not None:
            raise Usage("--sample-size is for the embedded server's sample", hint="leave out --server, or --embedded")
        session.way_back = way_back(session.shared, asked.connection)
        api = await stack.enter_async_context(reached(session, settings))
        return Reach(api=api, project=asked.target, settings=settings)
    described = embedded_project(asked.target, sample_size=asked.sample_size)
    title = str(described["title"])
    _check(destination, title)
    project = Project(id=title, title=title, image_count=None)
    claim = stack.enter_context(Claim(_fixed_places(wanted_job(settings, project, {}, destination))))
    place = place_for(session)
    if asked.on_interrupt == "detach" and not place.is_lasting:
        place.remove()
        raise Usage(
            "a job of the embedded server cannot outlive its command where nothing is kept on this machine",
            hint="exportctl serve FOLDER, or leave out --no-state",
            code="NO_SERVER",
        )
    session.outlives = place.is_lasting
    api = await stack.enter_async_context(embedded(session, described, place))
    return Reach(api=api, project=title, settings=replace(settings, server=place.server), claim=claim)


async def _claim(
    stack: AsyncExitStack, session: Session, reach: Reach, project: Project, wanted: KnownJob, *, joins: bool
) -> tuple[Claim | None, Begun | None]:
    """Claim the output; where another command is to write to it, return the job to join."""
    try:
        return reach.claim or stack.enter_context(Claim(_fixed_places(wanted))), None
    except Claimed as claimed:
        # Another command is to write to this very place: the job that it is with may be the one to join.
        found = await running_job(reach.api, project, orjson.loads(wanted.options or "{}")) if joins else None
        if found is None or found != claimed.job_id:
            raise
        return None, taken_up(session, wanted, joined(session, project, found))


def _fixed_places(wanted: KnownJob) -> list[Path]:
    """Return where the run will write that is no job's own place: it is claimed before anything is started."""
    return [path for path in (wanted.output, wanted.extract) if path is not None and JOB not in str(path)]


def _check(destination: Destination, project: str) -> None:
    destination.check(project=project, today=exporting.today())


def _dry_run(session: Session, project: Project) -> int:
    images = "" if project.image_count is None else f" ({project.image_count} images)"
    session.tell(
        Log(project_id=project.id, level="info", code="dry-run", message=f"{project.title}{images} can be exported")
    )
    return session.conclude(session.report, Outcome.OK, 0)
