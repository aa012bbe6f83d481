"""The end of a command that could not even begin: wrong words on its line, an events file that cannot be had, a bug."""

import os
import signal
import traceback
from dataclasses import replace

from exportctl import __version__
from exportctl.commands.body.edges import open_sinks, open_stream, pass_on, show
from exportctl.commands.body.report import details
from exportctl.commands.options import Shared
from exportctl.model.errors import Bug, ExportctlError
from exportctl.model.lines import Hello, Outcome, Result
from exportctl.startup.early import no_more


def refuse(command: str | None, error: ExportctlError, shared: Shared | None = None) -> int:
    """Tell a command that could not even begin: its `hello` and `result` where lines were asked for, and the words.

    An events file that cannot be had is not the news: the refusal is. No progress is shown, whatever was asked for, and
    an option that is wrong itself is left out by whoever calls.
    """
    no_more()
    shared = replace(shared or Shared(), progress="none", lang=None)
    try:
        sinks = open_sinks(shared)
    except ExportctlError:
        sinks = open_sinks(replace(shared, events=None))
    stream = open_stream(sinks)
    number: signal.Signals | None = None
    try:
        stream.tell(Hello(version=__version__, command=command, server=None))
        stream.tell(Result(outcome=Outcome.ERROR, exit_code=error.exit_status, error=details(error)))
    except BrokenPipeError:
        number = signal.SIGPIPE
    except ExportctlError as worse:
        show(worse, quiet=shared.quiet)
    stream.close()
    show(error, quiet=shared.quiet)
    pass_on(number)
    return error.exit_status


def bug_of(error: BaseException) -> Bug:
    """Return an error that nobody foresaw as ours; its traceback is for who asks for it."""
    if os.environ.get("EXPORTCTL_DEBUG"):
        traceback.print_exception(error)
    return Bug(
        f"unexpected {type(error).__name__}: {error}",
        hint="please report it with the command and, from EXPORTCTL_DEBUG=1, the traceback",
    )
