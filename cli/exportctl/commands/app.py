"""The command line: its commands, each imported when it is named, and how one ends that is wrong.

Typer without rich: `--help` of everything reads no network code. Whatever typer refuses becomes a `Usage` error of
ours.
"""

import importlib
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from exportctl.model.errors import Usage

COMMANDS: Final = ("run", "start", "follow", "status", "download", "serve")
"""In the order of `CLI.md`; each is a module of this package with a function `command`."""


class LazyGroup(TyperGroup):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of `CLI.md`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """Return the command of that name, None for an unknown one."""
        return load(cmd_name) if cmd_name in COMMANDS else None


def load(name: str) -> Any:
    """Import a command and return it as typer's own kind."""
    module = importlib.import_module(f"exportctl.commands.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(name)(module.command)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


@app.callback()
def main_callback(
    version: bool = typer.Option(False, "--version", help="Show the version and end."),  # noqa: FBT001, FBT003 - typer's form
) -> None:
    """Start an export on an image segmentation server, follow it, and leave one verified archive on disk."""
    if version:
        from exportctl import __version__  # noqa: PLC0415 - one answer of many

        typer.echo(f"exportctl {__version__}")
        raise typer.Exit


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    from exportctl.commands.body.session import refuse  # noqa: PLC0415 - only where a command runs

    try:
        status = app(args=arguments, prog_name="exportctl", standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return 130
    except Exception as error:
        usage = _usage(error)
        if usage is None:
            raise
        return refuse(_named(arguments), usage, ndjson=_wants_ndjson(arguments))
    return status if isinstance(status, int) else 0


def _usage(error: Exception) -> Usage | None:
    """Return typer's refusal of a command line as ours; None for anything else."""
    told = getattr(error, "format_message", None)
    if told is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "exportctl"
    message = str(told()).replace("Value error, ", "")
    return Usage(message, hint=f"{path} --help")


def _named(arguments: list[str]) -> str | None:
    return next((word for word in arguments if word in COMMANDS), None)


def _wants_ndjson(arguments: list[str]) -> bool:
    import os  # noqa: PLC0415 - as above

    return (
        "--ndjson" in arguments
        or "--json" in arguments
        or os.environ.get("EXPORTCTL_NDJSON", "") not in {"", "0", "false"}
    )


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
