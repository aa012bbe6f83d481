"""`exportctl follow JOB...`: attach to running jobs."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Interrupt, Shared, flattened


@flattened
def command(
    *,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB...", help="PROJECT/JOB, a job's id or its beginning, @last; none: all unfinished."),
    ] = None,
    after: Annotated[
        int, typer.Option("--after", metavar="SEQ", min=0, help="Begin behind this number of the server's.")
    ] = 0,
    on_interrupt: Annotated[Interrupt, typer.Option("--on-interrupt", help="What the first Ctrl-C does.")] = "detach",
    shared: Shared,
    connection: Connection,
) -> int:
    """Attach to running jobs and tell their story, from the first event the server still has, until all have ended.

    Examples:
      exportctl follow 7d1f…/6f0c…

      exportctl follow 7d1f…/6f0c… --after 120 --ndjson
    """
    from exportctl.commands.body.follow import follow  # noqa: PLC0415 - the body is heavy, the declaration is not

    return follow(jobs or [], shared=shared, connection=connection, after=after, on_interrupt=on_interrupt)
