"""What a command tells, without what it signs in by: a server or a proxy may send that back in its words."""

from typing import Final

from msgspec.structs import asdict, replace

from exportctl.model.errors import ExportctlError
from exportctl.model.lines import CheckRow, ConnectionChanged, ErrorDetails, ExportFailedLine, Line, Log, Result
from exportctl.output.masking import hidden


def line_without(line: Line, secrets: set[str]) -> Line:
    """Return the line; words of others in it are looked through.

    Nearly every line is an event's and is let by: five comparisons for each were a twentieth of all its time.
    """
    if type(line) in _WITH_WORDS:
        return replace(line, **_clean(line, secrets))
    if isinstance(line, Result) and line.error is not None:
        return replace(line, error=replace(line.error, **_clean(line.error, secrets)))
    return line


def error_without(error: ExportctlError, secrets: set[str]) -> ExportctlError:
    """Return the error, its words looked through."""
    error.message = hidden(error.message, secrets)
    error.hint = None if error.hint is None else hidden(error.hint, secrets)
    return error


_WITH_WORDS: Final = frozenset({CheckRow, ConnectionChanged, Log, ExportFailedLine})
_WORDS: Final = frozenset({"message", "hint", "reason", "error"})


def _clean(record: Line | ErrorDetails, secrets: set[str]) -> dict[str, str]:
    return {
        key: hidden(value, secrets) for key, value in asdict(record).items() if key in _WORDS and isinstance(value, str)
    }
