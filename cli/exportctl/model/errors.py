"""Everything that ends a command badly, as data: message, hint, exit status.

    ExportctlError
    ├── Usage            2   wrong words on the command line
    ├── Rejected         2   the server calls the request wrong (400, 413, 422)
    ├── ExportFailed     3   the export failed on the server
    ├── NotAllowed       4   not signed in, or not allowed
    ├── NotFound         5   no such project, job or file, or no longer there
    ├── TimeRanOut       6   --timeout
    ├── Unreachable      7   no answer until the retries were used up
    ├── Unwell           7   a check of `doctor` failed
    ├── Damaged          8   the archive is not what the server said
    ├── Busy             9   an export is already running
    ├── CancelledElsewhere 10
    ├── CannotWrite      11  disk full, no permission, output exists
    └── Bug              1   ours: the message asks for a report

`message` is in the user's terms and holds no secret; `hint` is what to do next, where it can be a command to paste.
`code` is for scripts. Only `main()` prints them. `answered` is the HTTP status that said so, where one did, and
`retry_after` the seconds that the server asks to wait.
"""

from typing import ClassVar


class ExportctlError(Exception):
    """An end that the user must hear of."""

    exit_status: ClassVar[int] = 1
    code: str = "ERROR"
    answered: int | None = None
    retry_after: float | None = None

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code


class Usage(ExportctlError):
    """The command line is wrong."""

    exit_status = 2
    code = "USAGE"


class Rejected(ExportctlError):
    """The server refused the request as wrong."""

    exit_status = 2
    code = "REJECTED"


class ExportFailed(ExportctlError):
    """The export failed on the server."""

    exit_status = 3
    code = "EXPORT_FAILED"


class NotAllowed(ExportctlError):
    """Not signed in, or not allowed."""

    exit_status = 4
    code = "NOT_ALLOWED"


class NotFound(ExportctlError):
    """No such project, job or file, or no longer there."""

    exit_status = 5
    code = "NOT_FOUND"


class TimeRanOut(ExportctlError):
    """`--timeout` ran out; the job goes on."""

    exit_status = 6
    code = "TIMEOUT"


class Unreachable(ExportctlError):
    """The server could not be reached, or kept failing."""

    exit_status = 7
    code = "UNREACHABLE"


class Unwell(ExportctlError):
    """A check of `doctor` failed."""

    exit_status = 7
    code = "CHECK_FAILED"


class Damaged(ExportctlError):
    """The archive is damaged, or does not match its size or digest."""

    exit_status = 8
    code = "DAMAGED"


class Busy(ExportctlError):
    """The server has no room for another export now."""

    exit_status = 9
    code = "BUSY"


class CancelledElsewhere(ExportctlError):
    """Someone else cancelled the export."""

    exit_status = 10
    code = "CANCELLED"


class CannotWrite(ExportctlError):
    """Nothing could be written here."""

    exit_status = 11
    code = "CANNOT_WRITE"


class Bug(ExportctlError):
    """An error that is ours."""

    exit_status = 1
    code = "BUG"
