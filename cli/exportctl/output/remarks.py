"""Remarks (`log` lines): each is said once, and a bounded number of them; the rest is counted."""

from exportctl.model.lines import Log
from exportctl.output import ending
from exportctl.output.colour import YELLOW, painted

_SAID_AT_MOST = 100


class Remarks:
    """What was said already. `lost` counts what was kept back."""

    def __init__(self, *, colour: bool = False) -> None:
        self._colour = colour
        self._said: set[tuple[str, str]] = set()
        self.lost = 0

    def words(self, line: Log, *, ascii_only: bool) -> str | None:
        """Return what to say, None for a remark said before or kept back."""
        if (line.code, line.message) in self._said:
            return None
        if len(self._said) >= _SAID_AT_MOST:
            self.lost += 1
            return None
        self._said.add((line.code, line.message))
        level = painted("warning:", YELLOW, on=self._colour) + " " if line.level == "warning" else ""
        return f"{level}{ending.remark(line.message, ascii_only=ascii_only)}"
