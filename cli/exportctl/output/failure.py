"""An error in words for standard error: what went wrong, and what to do about it.

    exportctl: error: no such project: nuclei
      hint: exportctl projects

With `-q` both stand on one line, for the mail of a cron job:

    exportctl: error: no such project: nuclei (exportctl projects)

A server's text of several lines is shortened to its first; nothing in it can act on the terminal.
"""

from exportctl.model.errors import ExportctlError
from exportctl.output.colour import RED, painted
from exportctl.output.safe import first_line

_COLUMNS = 500


def failure(error: ExportctlError, *, ascii_only: bool = False, colour: bool = False, is_one_line: bool = False) -> str:
    """Return the error's words with a line feed at the end of each line."""
    label = painted("error:", RED, on=colour)
    said = f"exportctl: {label} {first_line(error.message, limit=_COLUMNS, ascii_only=ascii_only) or error.code}"
    if error.hint:
        hint = first_line(error.hint, limit=_COLUMNS, ascii_only=ascii_only)
        said += f" ({hint})" if is_one_line else f"\n  hint: {hint}"
    return f"{said}\n"
