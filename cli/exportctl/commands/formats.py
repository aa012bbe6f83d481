"""`exportctl formats`: to what a server exports."""

from exportctl.commands.options import Connection, Shared, flattened


@flattened
def command(*, shared: Shared, connection: Connection) -> int:
    """List the formats that the server exports to, by the option that asks for each.

    Examples:
      exportctl formats

      exportctl formats --ndjson | jq -r 'select(.kind == "annotations").id'
    """
    from exportctl.commands.body.formats import formats  # noqa: PLC0415 - the body is heavy, the declaration is not

    return formats(shared=shared, connection=connection)
