"""How help looks: 80 columns wide whatever the window, arguments by their names, options under headings, examples last.

Last, because the end of a long text is what a terminal shows. Wrapping is typer's own.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Final, get_args

from exportctl.commands.options import Connection, Content, Saving, Shared

WIDTH: Final = 80
SETTINGS: Final[dict[str, Any]] = {"terminal_width": WIDTH - 2, "help_option_names": ["--help", "-h"]}
"""The context settings of the group and of every command."""
_HEADINGS: Final = {Content: "What is exported", Saving: "The archive", Shared: "Output", Connection: "Connection"}
_COLUMN: Final = 24
"""Width of the names before an option's meaning; longer ones have a line of their own."""
_EXAMPLES: Final = "\n\nExamples:\n"


class Layout:
    """The methods of click's that a command overrides for it."""

    options_metavar: str | None
    epilog: str | None
    get_params: Callable[..., Any]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the command's name in the line of usage."""
        return [
            self.options_metavar or "",
            *(_in_usage(param) for param in self.get_params(ctx) if _is_argument(param)),
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options by group."""
        params = list(self.get_params(ctx))
        options = [param for param in params if not _is_argument(param) and not param.hidden]
        titles = headings({param.name for param in options})
        _write(
            formatter,
            "Arguments",
            [(_name(param), param.help or "") for param in params if _is_argument(param)],
            column=_COLUMN,
        )
        for title in ("Options", *_HEADINGS.values()):
            rows = [_row(param) for param in options if titles.get(param.name, "Options") == title]
            _write(formatter, title, rows, column=_COLUMN)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        """Write the examples, each on a line of its own."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write_text(f"\b\n{self.epilog}")


def headings(names: set[str]) -> dict[str, str]:
    """Return the heading of every option that came with one of the groups; a group comes whole or not at all."""
    groups = [({field.name for field in dataclasses.fields(group)}, title) for group, title in _HEADINGS.items()]
    return {name: title for fields, title in groups if fields <= names for name in fields}


def told(command: Callable[..., Any]) -> tuple[str, str]:
    """Return a command's description and its examples, one a line."""
    said, _, examples = (inspect.getdoc(command) or "").partition(_EXAMPLES)
    return said, "\n".join(line.strip() for line in examples.splitlines() if line.strip())


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _in_usage(param: Any) -> str:
    return _name(param) if param.required else f"[{_name(param)}]"


def _row(param: Any) -> tuple[str, str]:
    """Return an option's names with what its value is called, and its meaning with default and environment variable."""
    names = ", ".join(sorted(param.opts, key=lambda name: name.startswith("--")))
    if param.secondary_opts:
        names += f" / {', '.join(param.secondary_opts)}"
    choices = get_args(param.type_descriptor.annotation)
    if not param.is_flag and not param.count:
        names += f" {param.metavar or '|'.join(map(str, choices)) or param.name.upper()}"
    notes = []
    if param.default and not param.is_flag:
        notes.append(f"default: {param.default:g}" if isinstance(param.default, float) else f"default: {param.default}")
    if param.envvar:
        notes.append(f"env: {param.envvar}")
    return names, (param.help or "") + (f" [{'; '.join(notes)}]" if notes else "")


def _write(formatter: Any, title: str, rows: list[tuple[str, str]], *, column: int) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl([(names.ljust(column), meaning) for names, meaning in rows], col_max=column)
