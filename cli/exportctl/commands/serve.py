"""`exportctl serve FOLDER...`: the export server by itself, and who may sign in to it."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import typer

from exportctl.commands.configured import Configured
from exportctl.commands.options import flattened

KIND: Final = Configured


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
    ping_interval: Annotated[
        float,
        typer.Option(
            "--ping-interval",
            metavar="SECONDS",
            min=0.1,
            max=60,
            help="Between pings of a silent socket; below the idle time-out of a proxy in front.",
        ),
    ] = 25.0
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="MINUTES",
            min=0.01,
            help="For how long a client may take nothing of its answer; a slow one takes something.",
        ),
    ] = 10.0
    compress: Annotated[
        bool, typer.Option("--compress", help="Offer websockets compression: less bandwidth for more processor time.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the server keeps and how much it does."""

    state: Annotated[
        str | None, typer.Option("--state", metavar="FOLDER", help="Where jobs, archives and users are kept.")
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=512, help="Processes for image work; default: the cores it may use."
        ),
    ] = None
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, help="Jobs without an end that there may be at a time.")
    ] = 1000
    jobs_per_user: Annotated[
        int, typer.Option("--jobs-per-user", metavar="N", min=1, help="Jobs that one user may have at a time.")
    ] = 100
    jobs_at_once: Annotated[
        int, typer.Option("--jobs-at-once", metavar="N", min=1, help="Jobs worked on at a time; the others wait.")
    ] = 8
    jobs_at_once_per_user: Annotated[
        int, typer.Option("--jobs-at-once-per-user", metavar="N", min=1, help="Of one user, so that others find room.")
    ] = 2
    archives_days: Annotated[
        float,
        typer.Option("--archives-days", metavar="DAYS", min=0.0001, help="For how long a finished archive is kept."),
    ] = 7.0
    archives_limit: Annotated[
        str | None,
        typer.Option(
            "--archives-limit", metavar="SIZE", help="What all archives may take, as 500G; the oldest go first."
        ),
    ] = None
    history_days: Annotated[
        float,
        typer.Option(
            "--history-days", metavar="DAYS", min=0.0001, help="For how long jobs and their events are known after it."
        ),
    ] = 365.0
    max_images: Annotated[
        int, typer.Option("--max-images", metavar="N", min=1, help="Images that one export may have.")
    ] = 1_000_000
    max_bytes: Annotated[
        str | None,
        typer.Option("--max-bytes", metavar="SIZE", help="What the images of one export may take together, as 2T."),
    ] = None
    max_pixels: Annotated[
        str | None,
        typer.Option(
            "--max-pixels",
            metavar="N",
            help="Pixels of an image that is drawn, as 500M; default: what a worker's share of the memory holds.",
        ),
    ] = None
    image_minutes: Annotated[
        float,
        typer.Option(
            "--image-minutes",
            metavar="MINUTES",
            min=0.01,
            help="For how long one image may be worked on; then it is exported undrawn, with a warning.",
        ),
    ] = 15.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Where its settings are said too, and what it says of itself, always on standard error."""

    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="TOML with any of these options as keys: port = 8080."),
    ] = None
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option("--log-format", help="Of what it says on standard error; json: an object a line."),
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option("--log-level", help="The least that is said; info tells of every job."),
    ] = "warning"
    access_log: Annotated[bool, typer.Option("--access-log", help="Say each request too.")] = False


@flattened
def command(
    *,
    folders: Annotated[
        list[str] | None, typer.Argument(metavar="FOLDER...", help="Each is a project titled by its name.")
    ] = None,
    listening: Listening,
    who: Who,
    work: Work,
    said: Said,
) -> int:
    """Run the export server on this machine, until Ctrl-C.

    Users sign in with email and password (--add-user), or with a token. Beyond this machine it listens only with TLS,
    or where --allow-plain-http says that something in front of it does that, and only to users and tokens it was told.

    What is not on the command line is taken from the environment (EXPORTCTL_SERVE_PORT, and so on), then from the file
    of --config.

    Examples:
      exportctl serve ./images

      exportctl serve --config /etc/exportctl/serve.toml

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
    return serve(folders or [], listening=listening, who=who, work=work, said=said)
