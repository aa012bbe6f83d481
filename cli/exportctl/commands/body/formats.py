"""The formats that a server exports to."""

from exportctl.client import catalogue
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.projects import columns
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.lines import FormatRow, Outcome
from exportctl.output.table import table

_HEADINGS = ("OPTION", "NAME", "DESCRIPTION")


def formats(*, shared: Shared, connection: Connection) -> int:
    """Show the formats; return the exit status."""

    async def body(session: Session, settings: Settings) -> int:
        async with reached(session, settings) as api:
            found = await catalogue.formats(api)
        rows = [FormatRow(kind=one.kind, id=one.id, name=one.name, description=one.description) for one in found]
        for row in rows:
            session.tell(row)
        cells = [(f"--{row.kind} {row.id}", row.name or "", row.description or "") for row in rows]
        for line in table(_HEADINGS, cells, columns=columns()):
            session.say(line)
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct("formats", shared, lambda: server_settings(connection, "formats"), body, has_progress=False)
