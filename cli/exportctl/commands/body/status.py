"""One look at a job."""

from exportctl.client.job_status import JobStatus
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.job_name import Named, find_job, learn, parse_name, settings_for
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.lines import ErrorDetails, JobRow, Outcome
from exportctl.output import amounts
from exportctl.output.table import table
from exportctl.protocol.dialects import reading


def status(job: str, *, shared: Shared, connection: Connection) -> int:
    """Show the job; return the exit status."""
    memory = open_memory(shared)
    names: list[Named] = []

    def settings() -> Settings:
        names.append(parse_name(job, memory, connection))
        return settings_for(names, connection, "status")

    async def body(session: Session, found: Settings) -> int:
        async with reached(session, found) as api:
            seen = await find_job(api, names[0])
        learn(memory, names[0], seen)
        row = job_row(seen)
        session.tell(row)
        for line in _table(row):
            session.say(line)
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct("status", shared, settings, body, has_progress=False, memory=memory)


def job_row(seen: JobStatus) -> JobRow:
    """Return the job as a line."""
    error = seen.error
    return JobRow(
        job_id=seen.id,
        project_id=seen.project_id,
        status=seen.status,
        project_name=seen.project_name,
        phase=seen.phase,
        stage=seen.stage,
        progress=seen.progress,
        stage_progress=seen.stage_progress,
        estimated_time_remaining=seen.estimated_time_remaining,
        message=seen.message,
        created_at=seen.created_at,
        completed_at=seen.completed_at,
        file_name=seen.file_name,
        file_size=seen.file_size,
        sha256=seen.sha256,
        warnings=seen.warnings,
        error=None
        if error is None
        else ErrorDetails(
            code=reading.text(error, "code") or "FAILED",
            message=reading.text(error, "message") or "",
            hint=reading.text(error, "hint"),
        ),
        last_seq=seen.last_seq,
    )


def _table(row: JobRow) -> list[str]:
    facts = {
        "job": f"{row.project_id}/{row.job_id}",
        "project": row.project_name,
        "status": row.status,
        "phase": row.phase,
        "stage": row.stage,
        "progress": None if row.progress is None else f"{row.progress:.0f} %",
        "time left": None if row.estimated_time_remaining is None else amounts.duration(row.estimated_time_remaining),
        "archive": row.file_name,
        "size": None if row.file_size is None else amounts.size(row.file_size),
        "sha256": row.sha256,
        "warnings": str(len(row.warnings)) if row.warnings else None,
        "error": None if row.error is None else row.error.message,
    }
    lines = table(("", ""), [(name, value) for name, value in facts.items() if value])
    return lines[1:]
