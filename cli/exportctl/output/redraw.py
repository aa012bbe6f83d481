"""Lines on standard output that are drawn again in place: those of before are taken away, those of now put there.

Never more than the window holds, in rows and in columns, since what has scrolled away cannot be taken back. One write
for each drawing.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exportctl.output.safe import shorten_middle, width

_UP: Final = "\x1b[{}F"
_CLEAR_BELOW: Final = "\x1b[J"


@dataclass(slots=True, kw_only=True)
class Redraw:
    """What is drawn by `put`, which takes text for the terminal."""

    put: Callable[[str], None]
    _drawn: int = field(init=False, default=0)

    def draw(self, lines: Sequence[str]) -> None:
        """Show the lines in place of those of before; what does not fit into the window is counted."""
        size = shutil.get_terminal_size()
        room = max(2, size.lines - 1)
        shown = [line if width(line) <= size.columns else shorten_middle(line, size.columns) for line in lines]
        if len(shown) > room:
            shown = [*shown[: room - 1], f"… {len(shown) - room + 1} more"]
        up = _UP.format(self._drawn) if self._drawn else ""
        self.put(up + _CLEAR_BELOW + "".join(f"{line}\n" for line in shown))
        self._drawn = len(shown)

    def forget(self) -> None:
        """Draw below what is there now: others have written since (Ctrl-Z and `fg`)."""
        self._drawn = 0


def is_redrawable() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return os.isatty(1) and os.environ.get("TERM") not in {None, "", "dumb"}
