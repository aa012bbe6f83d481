"""`exportctl serve FOLDER...`: the embedded server by itself."""

from typing import Annotated

import typer


def command(
    *,
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Each is a project titled by its name.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one and prints it.")] = 8080,
    token: Annotated[
        list[str] | None,
        typer.Option(
            "--token", metavar="TOKEN", help="Bearer token of a user (repeatable); none: one is made and printed."
        ),
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="FOLDER", help="Where jobs and archives are kept.")
    ] = None,
    jobs_per_user: Annotated[
        int, typer.Option("--jobs-per-user", metavar="N", min=1, help="Jobs that one user may have at a time.")
    ] = 100,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Processes for image work; default: the cores.")
    ] = None,
) -> int:
    """Run the export server on this machine, until Ctrl-C.

    Examples:
      exportctl serve ./images

      exportctl serve ./plates ./controls --port 0 --state ./exports
    """
    try:
        from exportctl.commands.body.serve import serve  # noqa: PLC0415 - the body is heavy, and an extra
    except ModuleNotFoundError as error:
        from exportctl.commands.body.refusing import refuse  # noqa: PLC0415 - as above
        from exportctl.model.errors import Usage  # noqa: PLC0415 - as above

        missing = Usage(
            f"the server needs the extra 'server' ({error.name} is not installed)",
            hint="pip install 'exportctl[server]'",
            code="NO_SERVER_EXTRA",
        )
        return refuse("serve", missing, ndjson=False)
    return serve(
        folders, host=host, port=port, tokens=token or [], state=state, jobs_per_user=jobs_per_user, workers=workers
    )
