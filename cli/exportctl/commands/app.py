"""The command line: its commands, each imported when it is named, and how one ends that is wrong.

Typer without rich: `--help` of everything reads no network code. Whatever typer refuses becomes a `Usage` error of
ours.
"""

import importlib
import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from exportctl.commands.declared import Declared
from exportctl.commands.layout import SETTINGS, told
from exportctl.commands.options import Shared
from exportctl.model.errors import Usage
from exportctl.model.nearest import nearest
from exportctl.startup.answers import says_yes

COMMANDS: Final = {
    "run": "Start an export, follow it, download and verify the archive.",
    "start": "Start an export and leave it running.",
    "follow": "Attach to running jobs, from any terminal.",
    "status": "Look at a job once.",
    "download": "Fetch and verify a finished export.",
    "cancel": "Cancel jobs and wait until they have ended.",
    "resume": "Finish everything that was interrupted.",
    "list": "List the jobs of this machine, and a project's history.",
    "projects": "List what can be exported.",
    "formats": "List to which formats it can be exported.",
    "login": "Sign in to a server.",
    "logout": "Sign out of it.",
    "whoami": "Show who is signed in.",
    "serve": "Run the export server on this machine.",
    "render": "Draw recorded or piped lines of --ndjson as bars.",
    "report": "Make a picture of where the time of an export went.",
    "doctor": "Check what stands between this machine and the server.",
    "schema": "Print the JSON Schema of the lines of --ndjson.",
    "completion": "Print a shell's completion script.",
}
"""In the order of `CLI.md`; each is a module of this package with a function `command`, and a class of its own,
`KIND`, if need be. After a change of any text: `python -m exportctl.commands.prepare`."""

_MEANT: Final = {
    **dict.fromkeys(("export", "create", "make"), "run"),
    **dict.fromkeys(("attach", "watch", "tail", "logs"), "follow"),
    **dict.fromkeys(("get", "fetch", "pull"), "download"),
    **dict.fromkeys(("stop", "abort", "kill"), "cancel"),
    **dict.fromkeys(("continue", "retry"), "resume"),
    **dict.fromkeys(("ls", "jobs", "history"), "list"),
    **dict.fromkeys(("signin", "auth"), "login"),
    **dict.fromkeys(("signout",), "logout"),
    **dict.fromkeys(("server", "daemon"), "serve"),
    **dict.fromkeys(("show", "info"), "status"),
    **dict.fromkeys(("check", "ping", "test"), "doctor"),
    "help": "--help",
    "version": "--version",
}
"""What other tools call it."""


class LazyGroup(TyperGroup):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of `CLI.md`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        """Return the command of that name, None for an unknown one."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the words name. An unknown one is refused with those that it might be."""
        name = args[0]
        near = _MEANT.get(name) or nearest(name, COMMANDS)
        if near and name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"No such command '{name}'. Did you mean {near}?")
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """Import a command and return it as typer's own kind."""
    module = importlib.import_module(f"exportctl.commands.{name}")
    said, examples = told(module.command)
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(
        name,
        cls=getattr(module, "KIND", Declared),
        help=said,
        short_help=COMMANDS[name],
        epilog=examples,
        context_settings=SETTINGS,
    )(module.command)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    add_help_option=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    epilog="exportctl COMMAND --help tells more of a command, with examples.",
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's form
    if asked:
        from exportctl import __version__  # noqa: PLC0415 - one answer of many

        typer.echo(f"exportctl {__version__}")
        raise typer.Exit


def _show_help(context: typer.Context, asked: bool) -> None:  # noqa: FBT001 - typer's form
    if asked and not context.resilient_parsing:
        typer.echo(context.get_help())
        raise typer.Exit


@app.callback()
def main_callback(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    # Declared here since typer's own has no value but None, for whose conversion it imports pydantic.
    help_: Annotated[
        bool, typer.Option("--help", "-h", callback=_show_help, is_eager=True, help="Show this message and exit.")
    ] = False,
) -> None:
    """Start an export on an image segmentation server, follow it, and leave one verified archive on disk."""
    del version, help_  # answered by their callbacks


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status."""
    try:
        status = app(args=arguments, prog_name="exportctl", standalone_mode=False)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return 130
    except Exception as error:  # noqa: BLE001 - what nobody foresaw is told as a bug, in words
        from exportctl.commands.body.refusing import bug_of, refuse  # noqa: PLC0415 - heavy, and only for what is refused

        return refuse(_named(arguments), _usage(error, arguments) or bug_of(error), _wanted(arguments))
    return status if isinstance(status, int) else 0


def _usage(error: Exception, arguments: list[str]) -> Usage | None:
    """Return typer's refusal of a command line as ours; None for anything else."""
    if not isinstance(error, typer.TyperException):
        return None
    named = _named(arguments)
    hint = f"exportctl {named} --help" if named else "exportctl --help"
    if not hasattr(error, "possibilities"):
        said = error.format_message()
        if said[1:2].islower():  # a word, and not the name of a variable
            said = said[:1].lower() + said[1:]
        return Usage(said if said.endswith("...") else said.removesuffix("."), hint=hint)
    option = str(getattr(error, "option_name", ""))
    context = getattr(error, "ctx", None)
    if context is not None and context.parent is None and named and _has(named, option):
        return Usage(f"{option} belongs behind the command's name", hint=f"exportctl {named} {option}")
    near = error.possibilities or ()
    return Usage(f"no such option: {option}" + (f". Did you mean {near[0]}?" if near else ""), hint=hint)


def _has(command: str, option: str) -> bool:
    from exportctl.startup.completing import table  # noqa: PLC0415 - only for what is refused

    return any(option in row.names for row in table(command) or [])


def _named(arguments: list[str]) -> str | None:
    first = next((word for word in arguments if not word.startswith("-")), None)
    return first if first in COMMANDS else None


def _wanted(arguments: list[str]) -> Shared:
    """Return how a refusal is to be told: what was refused may stand before or behind the words that say it."""
    options = set(_options(arguments))
    return Shared(
        ndjson=bool(options & {"--ndjson", "--json"}) or says_yes("EXPORTCTL_NDJSON"),
        events=_wanted_events(arguments),
        quiet="--quiet" in options or any("q" in word and not word.strip("-qv") for word in options),
    )


def _wanted_events(arguments: list[str]) -> str | None:
    """Return where the lines shall go too."""
    wanted = os.environ.get("EXPORTCTL_EVENTS") or None
    options = _options(arguments)
    for place, word in enumerate(options, start=1):
        name, sign, value = word.partition("=")
        if name == "--events":
            wanted = value if sign else next(iter(options[place:]), None)
    return wanted


def _options(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
