"""`exportctl logout`: sign out."""

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(*, shared: Shared, connection: Connection) -> int:
    """End the profile's session on the server, and forget it here.

    Examples:
      exportctl logout

      exportctl logout --profile lab
    """
    from exportctl.commands.body.logout import logout  # noqa: PLC0415 - the body is heavy, the declaration is not

    return logout(shared=shared, connection=connection)
