"""`exportctl start TARGET`: start an export and leave."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Content, IfBusy, Shared, flattened


@flattened
def command(
    *,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A project on the server: its id or exact title.")],
    content: Content,
    if_busy: Annotated[
        IfBusy, typer.Option("--if-busy", help="Where one export at a time is allowed: fail, ask again, or follow it.")
    ] = "fail",
    shared: Shared,
    connection: Connection,
) -> int:
    """Start an export and print PROJECT/JOB; the job goes on by itself.

    Examples:
      exportctl start nuclei --server https://export.example.org

      exportctl follow "$(exportctl start nuclei)"
    """
    from exportctl.commands.body.start import start  # noqa: PLC0415 - the body is heavy, the declaration is not

    return start(target, shared=shared, connection=connection, content=content, if_busy=if_busy)
