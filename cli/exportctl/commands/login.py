"""`exportctl login`: sign in."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(
    *,
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="Who signs in. [env: EXPORTCTL_EMAIL]")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Keep the session in the system's keyring, which cron cannot open.")
    ] = False,
    shared: Shared,
    connection: Connection,
) -> int:
    """Sign in to a server with email and password, and keep the session for this profile.

    The password is asked for at a terminal, or taken from --password-stdin or EXPORTCTL_PASSWORD. The configuration
    file is left alone: name the server there, in EXPORTCTL_SERVER, or with --server each time.

    Examples:
      exportctl login --server https://export.example.org

      pass show export | exportctl login --email ana@example.org --password-stdin
    """
    from exportctl.commands.body.login import login  # noqa: PLC0415 - the body is heavy, the declaration is not

    return login(email=email, password_stdin=password_stdin, keyring=keyring, shared=shared, connection=connection)
