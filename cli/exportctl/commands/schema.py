"""`exportctl schema [NAME]`: what the lines of NDJSON hold, for machines."""

from typing import Annotated, Literal

import typer

from exportctl.commands.document import document

Name = Literal[
    "line",
    "hello",
    "export:started",
    "export:progress",
    "export:phase-changed",
    "export:status-sync",
    "export:download-ready",
    "export:completed",
    "export:failed",
    "export:cancelled",
    "connection:changed",
    "heartbeat",
    "log",
    "job",
    "project",
    "format",
    "check",
    "result",
]
"""`line` is all of them; a test holds the others against the lines themselves."""


@document
def command(
    *,
    name: Annotated[Name, typer.Argument(metavar="NAME", help="An event, such as export:progress or result.")] = "line",
    version: Annotated[bool, typer.Option("--version", help="Print the schema's version only.")] = False,
) -> int:
    """Print the JSON Schema (2020-12) of the lines of --ndjson: of every line, or of one event.

    Examples:
      exportctl schema > line.schema.json

      exportctl schema result | jq -r '.properties | keys[]'

      exportctl schema --version
    """
    from exportctl.commands.body.schema import schema  # noqa: PLC0415 - the body is heavy, the declaration is not

    return schema(name, version=version)
