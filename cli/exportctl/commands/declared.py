"""The class of every command: typer reads the declaration, the words of the command line are converted here.

Newest typer converts each value through a pydantic model, whose import alone takes longer than all of our own code
(docs/startup.md). `cls=` and click's public `parse_args` let a command do it by itself, with words that fit: what can
be declared is what `converted` knows, anything else is an error when the command is loaded.
"""

import math
from typing import Any, Final, Literal, get_args, get_origin

from typer.core import TyperCommand

from exportctl.commands.layout import Layout
from exportctl.model.nearest import nearest
from exportctl.startup.answers import FALSE

TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
"""What the environment variable of a switch says for yes, in any case of letters; the same as typer's."""


class Declared(Layout, TyperCommand):
    """A command that converts its own values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fill `ctx.params` from the words, the environment and the defaults, in this order."""
        parser = self.make_parser(ctx)
        given, rest, _ = parser.parse_args(args=list(args))
        for param in sorted(self.get_params(ctx), key=lambda param: not param.is_eager):
            value, place = self.given(ctx, param, given)
            if ctx.resilient_parsing:
                continue  # only the help is wanted
            if not param.expose_value:
                if value:
                    param.handle_parse_result(ctx, given, rest)  # --help, which ends here
                continue
            if value is None and param.required:
                ctx.fail(f"missing {param.metavar or param.name}")
            try:
                ctx.params[param.name] = _converted(param, value)
            except ValueError as wrong:
                ctx.fail(f"{place or _place(param)}: {wrong}")
        if rest and not ctx.resilient_parsing:
            # Where none is taken it may be a password that was meant for an option: it is not said again.
            takes_any = any(param.param_type_name == "argument" for param in self.get_params(ctx))
            ctx.fail(f"one argument too many: {rest[0]!r}" if takes_any else "an argument, where none is taken")
        ctx.args = rest
        return rest

    def given(self, ctx: Any, param: Any, words: Any) -> tuple[Any, str | None]:
        """Return a parameter's value and, where that comes from elsewhere than the words, the place."""
        value, source = param.consume_value(ctx, words)
        return value, str(param.envvar) if source.name == "ENVIRONMENT" else None


def _place(param: Any) -> str:
    """Return what a wrong word is called on the command line."""
    return str(param.metavar or param.name) if param.param_type_name == "argument" else str(param.opts[-1])


def _converted(param: Any, value: Any) -> Any:
    annotation = param.type_descriptor.annotation
    if value is None or not isinstance(value, str | tuple | list):
        return value  # a default, or a switch and a count that the parser has made
    if get_origin(annotation) is list:
        (of,) = get_args(annotation)
        return [converted(of, word) for word in value]
    found = converted(annotation, value)
    if isinstance(found, int | float) and not isinstance(found, bool):
        _check_range(found, param.min, param.max)
    return found


def converted(annotation: Any, word: Any) -> Any:
    """Return the word as the type that was declared. Raises `ValueError` in words for the user."""
    if annotation is str:
        return word
    if annotation is bool:
        return _truth(word)
    if annotation is int:
        return _number(int, word, "a whole number")
    if annotation is float:
        return _number(float, word, "a number")
    if get_origin(annotation) is Literal:
        return _choice(word, get_args(annotation))
    raise TypeError(f"no command line value can be a {annotation}")


def _number(kind: type[int] | type[float], word: str, name: str) -> int | float:
    try:
        number = kind(word)
    except ValueError:
        raise ValueError(f"{word!r} is not {name}") from None
    if not math.isfinite(number):
        raise ValueError(f"{word!r} is not {name}")
    return number


def _check_range(number: float, low: float | None, high: float | None) -> None:
    if (low is None or number >= low) and (high is None or number <= high):
        return
    if low is None:
        raise ValueError(f"{number} is more than {high}")
    if high is None:
        raise ValueError(f"{number} is less than {low}")
    raise ValueError(f"{number} is not between {low} and {high}")


def _truth(word: str) -> bool:
    said = word.strip().lower()
    if said in TRUE:
        return True
    if said in FALSE:
        return False
    raise ValueError(f"{word!r} is neither yes nor no")


def _choice(word: str, choices: tuple[str, ...]) -> str:
    if word in choices:
        return word
    near = nearest(word.lower(), choices)
    known = ", ".join(choices)
    raise ValueError(f"{word!r} is not one of {known}" + (f". Did you mean {near}?" if near else ""))
