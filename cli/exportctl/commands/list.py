"""`exportctl list [PROJECT]`: jobs known on this machine, and a project's history on the server."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    project: Annotated[
        str | None, typer.Argument(metavar="PROJECT", help="Only this project's jobs, with the server's history.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show what changes.")] = False,
    shared: Shared,
    connection: Connection,
) -> int:
    """List the jobs that this machine knows; with a project, the server's history of it too.

    Examples:
      exportctl list

      exportctl list nuclei --watch

      exportctl list nuclei --ndjson | jq 'select(.event == "job").status'
    """
    from exportctl.commands.body.list import list_jobs  # noqa: PLC0415 - the body is heavy, the declaration is not

    return list_jobs(project, watch=watch, shared=shared, connection=connection)
