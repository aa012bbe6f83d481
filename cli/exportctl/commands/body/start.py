"""Start an export and leave: `PROJECT/JOB` on standard output, or the lines up to `export:started`."""

from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.content import wire_options
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.starting import begin, wanted_job
from exportctl.commands.body.stopping import Stopping
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Content, IfBusy, Shared
from exportctl.model.errors import Usage
from exportctl.model.lines import ExportStarted, Log, Outcome


def start(target: str, *, shared: Shared, connection: Connection, content: Content, if_busy: IfBusy) -> int:
    """Start the export; return the exit status."""

    def settings() -> Settings:
        if content.embedded:
            raise Usage(
                "a job of the embedded server cannot outlive its command",
                hint="exportctl serve FOLDER",
                code="NO_SERVER",
            )
        return server_settings(connection, "start")

    return conduct(
        "start",
        shared,
        settings,
        lambda session, found: _start(session, found, target, content, if_busy),
        has_progress=False,
        memory=open_memory(shared),
    )


async def _start(session: Session, settings: Settings, target: str, content: Content, if_busy: IfBusy) -> int:
    options = wire_options(content)
    async with reached(session, settings) as api:
        project = await api.find_project(target)
        session.report.project_id = project.id
        if content.dry_run:
            session.remark(
                Log(project_id=project.id, level="info", code="dry-run", message=f"{project.title} can be exported")
            )
            return session.conclude(session.report, Outcome.OK, 0)
        with Stopping(session=session, on_interrupt="detach") as stopping:  # the answer names the job: it is waited for
            begun = await begin(stopping, api, project, wanted_job(settings, project, options), if_busy=if_busy)
        session.tell(
            ExportStarted(job_id=begun.job_id, project_id=project.id, options=options, project_name=project.title)
        )
        session.say(f"{project.id}/{begun.job_id}")
        return session.conclude(session.report, Outcome.OK, 0)
