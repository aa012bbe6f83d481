"""`exportctl resume`: finish everything that was interrupted."""

from exportctl.commands.options import Connection, Saving, Shared, flattened


@flattened
def command(*, saving: Saving, shared: Shared, connection: Connection) -> int:
    """Finish everything that was interrupted here: attach to unfinished jobs, and download what is ready.

    Each archive goes where its own command would have put it, from the last byte on disk, unless -o names a folder or a
    template. With --server only that server's jobs are gone on with.

    Examples:
      exportctl resume

      exportctl resume --ndjson | jq -r 'select(.event == "result").file'
    """
    from exportctl.commands.body.resume import resume  # noqa: PLC0415 - the body is heavy, the declaration is not

    return resume(shared=shared, connection=connection, saving=saving)
