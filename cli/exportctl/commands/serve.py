"""`exportctl serve FOLDER...`: the export server by itself, and who may sign in to it."""

from dataclasses import dataclass
from typing import Annotated

import typer

from exportctl.commands.options import flattened


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the server listens."""

    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free one and prints it.")] = 8080
    unix_socket: Annotated[
        str | None,
        typer.Option("--unix-socket", metavar="FILE", help="Listen at this socket instead, for a proxy in front."),
    ] = None
    tls_cert: Annotated[
        str | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate with its chain, PEM; needs --tls-key.")
    ] = None
    tls_key: Annotated[
        str | None, typer.Option("--tls-key", metavar="FILE", help="Private key of the certificate, PEM.")
    ] = None
    allow_plain_http: Annotated[
        bool, typer.Option("--allow-plain-http", help="Listen beyond this machine without TLS.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the server keeps and how much it does."""

    state: Annotated[
        str | None, typer.Option("--state", metavar="FOLDER", help="Where jobs, archives and users are kept.")
    ] = None
    jobs_per_user: Annotated[
        int, typer.Option("--jobs-per-user", metavar="N", min=1, help="Jobs that one user may have at a time.")
    ] = 100
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Processes for image work; default: the cores.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who may use the server."""

    token: Annotated[
        list[str] | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="Bearer token of a user (repeatable); with no user one is made and printed.",
        ),
    ] = None
    add_user: Annotated[
        str | None,
        typer.Option("--add-user", metavar="EMAIL", help="Add a user, or change the password, and end; no FOLDER."),
    ] = None
    remove_user: Annotated[
        str | None, typer.Option("--remove-user", metavar="EMAIL", help="Remove a user and all sessions, and end.")
    ] = None
    list_users: Annotated[bool, typer.Option("--list-users", help="Print who may sign in, and end.")] = False
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password of --add-user from standard input.")
    ] = False


@flattened
def command(
    *,
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="FOLDER...", help="Each is a project titled by its name.")
    ] = None,
    listening: Listening,
    who: Who,
    work: Work,
) -> int:
    """Run the export server on this machine, until Ctrl-C.

    Users sign in with email and password (--add-user), or with a token. Beyond this machine it listens only with TLS,
    or where --allow-plain-http says that something in front of it does that, and only to users and tokens it was told.

    Examples:
      exportctl serve ./images

      exportctl serve ./plates ./controls --port 0 --state ./exports

      exportctl serve --add-user ana@example.org --state ./exports
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
        return refuse("serve", missing)
    return serve(folders or [], listening=listening, who=who, work=work)
