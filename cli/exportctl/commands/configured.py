"""The class of `serve`: what its command line does not say comes from the environment, else from a file.

Every option but those that do something once has a variable, `EXPORTCTL_SERVE_` and its name, and a key in the file
that `--config` names (TOML, no tables); a value is judged as if it stood on the command line, and a wrong one is told
with the variable, or with file and line. Paths in the file begin at the file's own folder.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exportctl.commands.body.amount import amount_of
from exportctl.commands.declared import Declared
from exportctl.model.nearest import nearest

PREFIX: Final = "EXPORTCTL_SERVE_"
ONCE: Final = frozenset({"add_user", "remove_user", "list_users", "password_stdin", "help"})
"""What the command does at once, and no setting of a server."""
_PATHS: Final = frozenset({"FILE", "FOLDER", "FOLDER..."})
_AMOUNTS: Final = {"archives_limit": "500G", "max_bytes": "2T", "max_pixels": "500M"}
"""Options that are an amount in words, each with an example."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a file says of one option: words, or the value of a switch, and the place for messages."""

    value: Any
    place: str


class Configured(Declared):
    """A command whose options may be said in the environment and in a file too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the file first: its words stand behind those of the command line and of the environment."""
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            path = given.get("config") or os.environ.get(f"{PREFIX}CONFIG")
            # With --help, a file that is broken is no matter.
            if path and not given.get("help"):
                ctx.obj = _read(Path(path), self.get_params(ctx), ctx)
            if any(given.get(name) for name in ONCE):
                # Whom it serves is asked for, or changed: what it serves is of no account.
                (ctx.obj or {}).pop("folders", None)
                ctx.meta["once"] = True
        return super().parse_args(ctx, args)

    def given(self, ctx: Any, param: Any, words: Any) -> tuple[Any, str | None]:
        """Return the value and, where it stands neither on the command line nor is the default, the place."""
        value, place = self._said(ctx, param, words)
        if value is not None and param.name in _AMOUNTS and amount_of(value) < 1:
            where = place or param.opts[-1]
            ctx.fail(f"{where}: {value!r} is no amount; it is one at least, as {_AMOUNTS[param.name]}")
        return value, place

    def _said(self, ctx: Any, param: Any, words: Any) -> tuple[Any, str | None]:
        value, place = super().given(ctx, param, words)
        if words.get(param.name) or param.name in ONCE:
            return value, place
        variable = variable_of(param)
        word = os.environ.get(variable)
        if word and not (param.name == "folders" and ctx.meta.get("once")):
            return _split(param, word), variable
        said = (ctx.obj or {}).get(param.name)
        return (value, place) if said is None else (said.value, said.place)


def variable_of(param: Any) -> str:
    """Return the environment variable of an option."""
    return PREFIX + str(param.name).upper()


def misspelt(names: Iterable[str]) -> list[str]:
    """Return in words the variables that look like settings, of these names, and are none.

    They are no error: where a service is named exportctl-serve, Kubernetes sets some like them.
    """
    known = {name.upper() for name in names}
    found = []
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in known:
            near = nearest(name, known)
            found.append(f"{variable} is no setting" + (f". Did you mean {PREFIX}{near}?" if near else ""))
    return found


def _split(param: Any, word: str) -> Any:
    """Take a variable apart where there can be several values: folders as PATH does, others at white space."""
    if param.name == "folders":
        return [part for part in word.split(os.pathsep) if part]
    return word.split() if param.multiple else word


def _read(path: Path, params: Any, ctx: Any) -> dict[str, _Said]:
    """Read the file; whatever is wrong with it is said, with its line."""
    text, table = "", {}
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        ctx.fail(f"the configuration {path} cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        ctx.fail(f"{path} is no TOML: {error}")
    known = {param.name: param for param in params if param.name not in ONCE | {"config"}}
    said: dict[str, _Said] = {}
    for key, value in table.items():
        name, place = key.replace("-", "_"), f"{path}, line {_line(text, key)}"
        param = known.get(name)
        if param is None:
            ctx.fail(f"{place}: {_unknown(name, known)}")
        if name in said:
            ctx.fail(f"{place}: {name} is there twice, with - and with _")
        try:
            said[name] = _Said(_words(param, value, path.parent), f"{place}: {key}")
        except ValueError as wrong:
            ctx.fail(f"{place}: {key} {wrong}")
    return said


def _unknown(name: str, known: dict[str, Any]) -> str:
    if name in ONCE:
        return f"{name} is no setting; it belongs on the command line"
    near = nearest(name, known)
    return f"unknown key {name}" + (f". Did you mean {near}?" if near else f"; known: {', '.join(sorted(known))}")


def _line(text: str, key: str) -> int:
    """Return the line that a key of the root begins; what TOML's own reader does not tell."""
    found = re.search(rf"""^[ \t]*(?:\[+\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _words(param: Any, value: Any, folder: Path) -> Any:
    """Return a value of TOML as the command line would have it; raises ValueError, which reads on from the key."""
    if param.is_flag if param.param_type_name == "option" else False:
        if not isinstance(value, bool):
            raise ValueError("is either true or false")
        return value
    several = param.param_type_name == "argument" or param.multiple
    if several and isinstance(value, list):
        return [_word(param, one, folder) for one in value]
    word = _word(param, value, folder)
    return [word] if several else word


def _word(param: Any, value: Any, folder: Path) -> str:
    match value:
        case bool() | dict() | list():
            pass
        case "" if param.metavar in _PATHS:
            raise ValueError("is empty")
        case str() if param.metavar in _PATHS:
            return str(folder / value)
        case str() | int() | float():
            return str(value)
    raise ValueError("is no text and no number")
