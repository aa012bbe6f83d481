"""`exportctl render [FILE]`: recorded or piped lines as bars."""

from typing import Annotated

import typer

from exportctl.commands.options import Shared, flattened


@flattened
def command(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A recording of --ndjson or --events; - for standard input.")
    ] = "-",
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed", metavar="N|max", help="How many times as fast; a file: 1 by default, a pipe: as its lines come."
        ),
    ] = None,
    shared: Shared,
) -> int:
    """Draw lines of NDJSON as the bars of the command that wrote them. Other text among them is passed over.

    Examples:
      exportctl render log.ndjson --speed 10

      exportctl run x --ndjson --progress none | tee log | exportctl render

      exportctl render log.ndjson --speed max --progress plain
    """
    from exportctl.commands.body.render import render  # noqa: PLC0415 - the body is heavy, the declaration is not

    return render(file, speed=speed, shared=shared)
