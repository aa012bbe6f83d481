"""`exportctl doctor`: what works between this machine and the server, one by one."""

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(*, shared: Shared, connection: Connection) -> int:
    """Check configuration, disk, server, clock, sign-in, socket and polling one by one, with what to do for each.

    The socket is kept silent until the server's ping, some 25 seconds. Without a server this machine is checked only.

    Examples:
      exportctl doctor

      exportctl doctor --server https://export.example.org

      exportctl doctor --ndjson | jq -r 'select(.status == "failed").hint'
    """
    from exportctl.commands.body.doctor import doctor  # noqa: PLC0415 - the body is heavy, the declaration is not

    return doctor(shared=shared, connection=connection)
