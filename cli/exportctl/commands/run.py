"""`exportctl run TARGET`: the main job."""

from typing import Annotated

import typer

from exportctl.commands.options import Connection, Content, IfBusy, Interrupt, Saving, Shared, flattened


@flattened
def command(
    *,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A folder of images, or the word sample; a project on the server.")
    ],
    sample_size: Annotated[
        int | None, typer.Option("--sample-size", metavar="N", min=1, max=1_000_000, help="Images in the sample.")
    ] = None,
    content: Content,
    saving: Saving,
    on_interrupt: Annotated[Interrupt, typer.Option("--on-interrupt", help="What the first Ctrl-C does.")] = "cancel",
    if_busy: Annotated[
        IfBusy, typer.Option("--if-busy", help="Where one export at a time is allowed: fail, ask again, or follow it.")
    ] = "fail",
    shared: Shared,
    connection: Connection,
) -> int:
    """Start an export, follow it, download the archive and verify it.

    Examples:
      exportctl run sample

      exportctl run ./images -o nuclei.zip

      exportctl run nuclei --server https://export.example.org --ndjson | jq -c .
    """
    from exportctl.commands.body.run import run  # noqa: PLC0415 - the body is heavy, the declaration is not

    return run(
        target,
        shared=shared,
        connection=connection,
        content=content,
        saving=saving,
        sample_size=sample_size,
        on_interrupt=on_interrupt,
        if_busy=if_busy,
    )
