"""`exportctl whoami`: who is signed in."""

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(*, shared: Shared, connection: Connection) -> int:
    """Ask the server who is signed in, and print the email; status 4 if nobody is.

    Examples:
      exportctl whoami

      exportctl whoami -q > /dev/null || exportctl login
    """
    from exportctl.commands.body.whoami import whoami  # noqa: PLC0415 - the body is heavy, the declaration is not

    return whoami(shared=shared, connection=connection)
