"""Colour, where it helps: the word that says how it ended. What it says is said by the words alone, too."""

from collections.abc import Callable
from typing import Final

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
_NONE: Final = frozenset({None, "", "0"})


def wants_colour(variable: Callable[[str], str | None], *, is_terminal: bool) -> bool:
    """Return whether to colour: `NO_COLOR` before `FORCE_COLOR`, and both before what the terminal is.

    <https://no-color.org>: any value but an empty one counts. `FORCE_COLOR=0` asks for nothing.
    """
    if variable("NO_COLOR"):
        return False
    if variable("FORCE_COLOR") not in _NONE:
        return True
    return is_terminal and variable("TERM") not in {None, "", "dumb"}


def painted(text: str, colour: str, *, on: bool) -> str:
    """Return safe text in a colour, where that is wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if on and text else text
