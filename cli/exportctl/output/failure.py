"""An error in words for standard error: what went wrong, and what to do about it.

    exportctl: error: no such project: nuclei
      hint: exportctl projects

A server's text of several lines is shortened to its first; nothing in it can act on the terminal.
"""

from exportctl.model.errors import ExportctlError
from exportctl.output.colour import RED, painted
from exportctl.output.safe import first_line

_COLUMNS = 500


def failure(error: ExportctlError, *, ascii_only: bool = False, colour: bool = False) -> str:
    """Return the error's words with a line feed at the end of each line."""
    label = painted("error:", RED, on=colour)
    said = f"exportctl: {label} {first_line(error.message, limit=_COLUMNS, ascii_only=ascii_only) or error.code}\n"
    if error.hint:
        said += f"  hint: {first_line(error.hint, limit=_COLUMNS, ascii_only=ascii_only)}\n"
    return said
