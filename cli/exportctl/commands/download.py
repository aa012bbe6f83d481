"""`exportctl download JOB`: fetch and verify a finished export."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Saving, Shared, flattened


@flattened
def command(
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="PROJECT/JOB, a job's id or its beginning, or @last.")],
    saving: Saving,
    shared: Shared,
    connection: Connection,
) -> int:
    """Fetch and verify a finished export; a partial file of it is gone on with.

    Examples:
      exportctl download 7d1f…/6f0c…

      exportctl download 7d1f…/6f0c… -o - | bsdtar -tf -
    """
    from exportctl.commands.body.download import download  # noqa: PLC0415 - the body is heavy, the declaration is not

    return download(job, shared=shared, connection=connection, saving=saving)
