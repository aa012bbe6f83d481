"""The main job: start, follow, fetch, verify; on the configured server or on the embedded one."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from exportctl.client.api import Api, Project
from exportctl.client.destination import Destination, parse_output
from exportctl.client.partial import Partial
from exportctl.commands.body import exporting
from exportctl.commands.body.content import wire_options
from exportctl.commands.body.job_name import way_back
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import embedded, reached
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.starting import begin, known_job
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, embedded_project, settings_of
from exportctl.commands.options import Connection, Content, IfBusy, Interrupt, Saving, Shared
from exportctl.model.errors import Usage
from exportctl.model.lines import Log, Outcome
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
        api, wanted = await _reach(stack, session, settings, asked, destination)
        project = await api.find_project(wanted)
        _check(destination, project.title or project.id)
        session.report.project_id = project.id
        if asked.content.dry_run:
            return _dry_run(session, project)
        follower = await stack.enter_async_context(exporting.open_follower(session, api, asked.connection))
        await follower.connected(before_start=True)
        with Stopping(session=session, on_interrupt=asked.on_interrupt) as stopping:
            report = session.report
            begun = await begin(stopping, api, project, options, if_busy=asked.if_busy, strangers=follower.strangers)
            _remember(session, known_job(settings, begun, project, options), destination, project)
            stopping.started()
            job = await stopping.end(
                api,
                follower,
                follower.watch(project.id, begun.job_id, project_name=project.title, options=options),
                report,
            )
        status = exporting.conclude(session, report, job)
        if status is not None:
            return status
        archive = exporting.archive_of(project.id, job)
        return await exporting.fetch(
            session,
            api,
            archive,
            project,
            destination=destination,
            saving=asked.saving,
            report=report,
            accepts_present=begun.is_joined,
        )


def _remember(session: Session, job: KnownJob, destination: Destination, project: Project) -> None:
    """Note the job with what `resume` needs; an archive for standard output cannot be fetched later."""
    if not destination.is_stdout and not destination.is_folder:
        target = exporting.destination_path(destination, project, job.job_id)
        partial = Partial(target, job.job_id).path
        job = replace(job, is_wanted=True, output=target, partial=partial, overwrites=destination.overwrite)
    session.memory.begin(session.report, job)


async def _reach(
    stack: AsyncExitStack, session: Session, settings: Settings, asked: Run, destination: Destination
) -> tuple[Api, str]:
    """Return the API to speak to and the project's name there; what speaks against the output is said first."""
    if settings.server is not None:
        if asked.sample_size is not None:
            raise Usage("--sample-size is for the embedded server's sample", hint="leave out --server, or --embedded")
        session.way_back = way_back(session.shared, asked.connection)
        return await stack.enter_async_context(reached(session, settings)), asked.target
    described = embedded_project(asked.target, sample_size=asked.sample_size)
    title = str(described["title"])
    _check(destination, title)
    api, child = await stack.enter_async_context(embedded(session, described))
    stack.enter_context(exporting.ends_with(child, session))
    return api, title


def _check(destination: Destination, project: str) -> None:
    destination.check(project=project, today=exporting.today())


def _dry_run(session: Session, project: Project) -> int:
    images = "" if project.image_count is None else f" ({project.image_count} images)"
    session.tell(
        Log(project_id=project.id, level="info", code="dry-run", message=f"{project.title}{images} can be exported")
    )
    return session.conclude(session.report, Outcome.OK, 0)
