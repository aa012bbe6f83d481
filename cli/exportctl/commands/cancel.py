"""`exportctl cancel JOB...`: end jobs that are still running."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    jobs: Annotated[
        list[str], typer.Argument(metavar="JOB...", help="PROJECT/JOB, a job's id or its beginning, or @last.")
    ],
    shared: Shared,
    connection: Connection,
) -> int:
    """Cancel jobs, wait until the server says that they ended, and say what it says of its clean-up.

    A job that has ended already, however, is left as it is, and that is status 0.

    Examples:
      exportctl cancel @last

      exportctl cancel 7d1f…/6f0c… 6f0c2b7e
    """
    from exportctl.commands.body.cancel import cancel  # noqa: PLC0415 - the body is heavy, the declaration is not

    return cancel(jobs, shared=shared, connection=connection)
