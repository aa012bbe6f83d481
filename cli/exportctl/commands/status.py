"""`exportctl status JOB`: one look at a job."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="PROJECT/JOB, or a job's id.")],
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
