"""`exportctl status JOB`: one look at a job."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="PROJECT/JOB, a job's id or its beginning, or @last.")],
    shared: Shared,
    connection: Connection,
) -> int:
    """Look at a job once: phase, stage, progress, time left, size.

    Examples:
      exportctl status 7d1f…/6f0c…

      exportctl status 7d1f…/6f0c… --ndjson | jq -r 'select(.event == "job").status'
    """
    from exportctl.commands.body.status import status  # noqa: PLC0415 - the body is heavy, the declaration is not

    return status(job, shared=shared, connection=connection)
