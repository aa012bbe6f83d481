"""A command that speaks to no server and has no job: its first line, its last one, and the time that it may take."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from exportctl import __version__
from exportctl.commands.body.edges import open_sinks, open_stream, show
from exportctl.commands.body.report import details, signal_status
from exportctl.commands.options import Shared
from exportctl.model.errors import ExportctlError, TimeRanOut
from exportctl.model.lines import Hello, Outcome, Result

_OUTCOMES: Final = {True: Outcome.TIMEOUT, False: Outcome.ERROR}


class Alone:
    """What the command tells of itself where lines are asked for. `end` is called once."""

    def __init__(self, command: str, shared: Shared) -> None:
        """Tell the first line. Raises `ExportctlError` where it cannot be told, and `BrokenPipeError`."""
        self._quiet = shared.quiet
        self._stream = open_stream(open_sinks(replace(shared, progress="none")))
        self._stream.tell(Hello(version=__version__, command=command, server=None))

    def end(self, *, file: str | None = None, size: int | None = None) -> int:
        """Tell that all is well."""
        return self._end(Result(outcome=Outcome.OK, exit_code=0, file=file, bytes=size))

    def fail(self, error: ExportctlError) -> int:
        """Tell what is wrong, and show it; return the exit status."""
        outcome = _OUTCOMES[isinstance(error, TimeRanOut)]
        status = self._end(Result(outcome=outcome, exit_code=error.exit_status, error=details(error)))
        show(error, quiet=self._quiet)
        return status

    def leave(self, number: signal.Signals) -> int:
        """Tell that a signal ended it."""
        return self._end(Result(outcome=Outcome.CANCELLED, exit_code=signal_status(number), error=None))

    def _end(self, result: Result) -> int:
        self._stream.tell(result)
        self._stream.close()
        return result.exit_code


@contextlib.contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Let what is done here raise `TimeRanOut` after so many seconds."""

    def ring(_number: int, _frame: object) -> None:
        raise TimeRanOut(f"--timeout {seconds:g} ran out")

    if seconds is None:
        yield
        return
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
