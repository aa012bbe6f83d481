"""The projects that can be exported."""

import os
import shutil

from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.lines import Outcome, ProjectRow
from exportctl.output.table import table

_HEADINGS = ("TITLE", "IMAGES", "CHANGED", "ID")


def projects(*, search: str | None, shared: Shared, connection: Connection) -> int:
    """Show the projects; return the exit status."""

    async def body(session: Session, settings: Settings) -> int:
        rows: list[ProjectRow] = []
        async with reached(session, settings) as api:
            async for project in api.projects(search):
                row = ProjectRow(
                    project_id=project.id,
                    title=project.title,
                    image_count=project.image_count,
                    description=project.description,
                    created_at=project.created_at,
                    updated_at=project.updated_at,
                )
                rows.append(row)
                session.tell(row)
        if rows:
            for line in table(_HEADINGS, [_cells(row) for row in rows], columns=columns(), numbers=("IMAGES",)):
                session.say(line)
        else:
            session.say_now("No projects" if search is None else f"No projects match {search!r}")
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct("projects", shared, lambda: server_settings(connection, "projects"), body, has_progress=False)


def columns() -> int | None:
    """Return the width of the terminal that standard output is; None for a pipe or file, where nothing is cut."""
    return shutil.get_terminal_size().columns if os.isatty(1) else None


def _cells(row: ProjectRow) -> tuple[str, ...]:
    count = "" if row.image_count is None else str(row.image_count)
    return row.title, count, (row.updated_at or row.created_at or "")[:10], row.project_id or ""
