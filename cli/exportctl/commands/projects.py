"""`exportctl projects`: what can be exported."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    search: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="Only those that the server finds for this.")
    ] = None,
    shared: Shared,
    connection: Connection,
) -> int:
    """List the server's projects: title, images, last change, id.

    Examples:
      exportctl projects --search nuclei

      exportctl projects --ndjson | jq -r 'select(.event == "project").projectId'
    """
    from exportctl.commands.body.projects import projects  # noqa: PLC0415 - the body is heavy, the declaration is not

    return projects(search=search, shared=shared, connection=connection)
