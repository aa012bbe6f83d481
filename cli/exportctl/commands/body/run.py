"""The main job: start, follow, fetch, verify; on the configured server or on the embedded one."""

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass

from exportctl.client.api import Api, Project
from exportctl.client.destination import Destination, parse_output
from exportctl.commands.body import exporting
from exportctl.commands.body.content import wire_options
from exportctl.commands.body.reaching import embedded, reached
from exportctl.commands.body.session import Session, conduct
from exportctl.commands.body.target import Settings, embedded_project, settings_of
from exportctl.commands.options import Connection, Content, Interrupt, Saving, Shared
from exportctl.model.errors import Usage
from exportctl.model.lines import Log, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one `run` was asked for."""

    target: str
    connection: Connection
    content: Content
    saving: Saving
    sample_size: int | None
    on_interrupt: Interrupt


def run(
    target: str,
    *,
    shared: Shared,
    connection: Connection,
    content: Content,
    saving: Saving,
    sample_size: int | None,
    on_interrupt: Interrupt,
) -> int:
    """Run the main job from its first line to its last; return the exit status."""
    asked = Run(
        target=target,
        connection=connection,
        content=content,
        saving=saving,
        sample_size=sample_size,
        on_interrupt=on_interrupt,
    )
    return conduct(
        "run",
        shared,
        lambda: settings_of(connection, embedded=content.embedded),
        lambda session, settings: _run(session, settings, asked),
    )


async def _run(session: Session, settings: Settings, asked: Run) -> int:
    destination = parse_output(asked.saving.output, overwrite=asked.saving.overwrite)
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
        follower = await stack.enter_async_context(exporting.make_follower(session, api, asked.connection))
        await follower.connected()
        session.on_signal = lambda _: None  # a job may come to be any moment now: it is cancelled once its id is known
        job_id = await api.start(project.id, options, name=project.title, key=str(uuid.uuid4()))
        session.report.job_id = job_id
        watch = follower.watch(project.id, job_id)
        job = await exporting.Following(
            session=session, report=session.report, follower=follower, on_interrupt=asked.on_interrupt
        ).end(watch)
        status = exporting.conclude(session, session.report, job)
        if status is not None:
            return status
        archive = exporting.archive_of(project.id, job)
        return await exporting.fetch(session, api, archive, project, destination=destination, saving=asked.saving)


async def _reach(
    stack: AsyncExitStack, session: Session, settings: Settings, asked: Run, destination: Destination
) -> tuple[Api, str]:
    """Return the API to speak to and the project's name there; what speaks against the output is said first."""
    if settings.server is not None:
        if asked.sample_size is not None:
            raise Usage("--sample-size is for the embedded server's sample", hint="leave out --server, or --embedded")
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
    session.tell(session.report.result(Outcome.OK, 0))
    return 0
