"""`exportctl report FILE`: one picture of where the time of a recorded export went."""

from typing import Annotated

import typer

from exportctl.commands.options import Shared, flattened


@flattened
def command(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A recording of --ndjson or --events; - for standard input.")
    ],
    svg: Annotated[bool, typer.Option("--svg", help="The picture alone, as SVG.")] = False,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="PATH", help="Where to put it; - for standard output.")
    ] = "-",
    shared: Shared,
) -> int:
    """Make one HTML page of a recording, complete in itself: phases, stages, reconnections and throughput over time.

    Examples:
      exportctl report log.ndjson -o report.html

      exportctl report log.ndjson --svg > timeline.svg
    """
    from exportctl.commands.body.reporting import report  # noqa: PLC0415 - the body is heavy, the declaration is not

    return report(file, svg=svg, output=output, shared=shared)
