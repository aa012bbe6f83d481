"""What a command tells, without what it signs in by: a server or a proxy may send that back in its words."""

from msgspec.structs import asdict, replace

from exportctl.model.errors import ExportctlError
from exportctl.model.lines import CheckRow, ConnectionChanged, ErrorDetails, ExportFailedLine, Line, Log, Result
from exportctl.output.masking import hidden


def line_without(line: Line, secrets: set[str]) -> Line:
    """Return the line; words of others in it are looked through."""
    match line:
        case Result(error=ErrorDetails() as error):
            return replace(line, error=replace(error, **_clean(error, secrets)))
        case CheckRow() | ConnectionChanged() | Log() | ExportFailedLine():
            return replace(line, **_clean(line, secrets))
        case _:
            return line


def error_without(error: ExportctlError, secrets: set[str]) -> ExportctlError:
    """Return the error, its words looked through."""
    error.message = hidden(error.message, secrets)
    error.hint = None if error.hint is None else hidden(error.hint, secrets)
    return error


_WORDS = ("message", "hint", "reason", "error")


def _clean(record: Line | ErrorDetails, secrets: set[str]) -> dict[str, str]:
    return {
        key: hidden(value, secrets) for key, value in asdict(record).items() if key in _WORDS and isinstance(value, str)
    }
