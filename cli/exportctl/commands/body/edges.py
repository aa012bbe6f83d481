"""The edges of a command: its sinks and its stream, standard output and standard error, and the signal it ends by."""

import contextlib
import os
import signal
import sys
import time
import uuid
from datetime import UTC, datetime

from exportctl.commands.options import Shared
from exportctl.model.errors import CannotWrite, ExportctlError, Usage
from exportctl.model.words import LANGUAGES, language_of
from exportctl.output.choose import Sinks, choose_progress, make_sinks
from exportctl.output.colour import wants_colour
from exportctl.output.failure import failure
from exportctl.output.ndjson import write_all
from exportctl.output.speaking import speak
from exportctl.output.stream import Stream


def open_sinks(shared: Shared) -> Sinks:
    """Return the sinks that the options ask for. Raises `ExportctlError` where one cannot be opened."""
    stderr = sys.stderr
    choose_language(shared.lang)
    is_terminal = stderr is not None and stderr.isatty()
    shown = choose_progress(shared.progress, is_terminal=is_terminal, term=os.environ.get("TERM"), quiet=shared.quiet)
    return make_sinks(
        shown=shown,
        colour=wants_colour(os.environ.get, is_terminal=is_terminal),
        ndjson=shared.ndjson,
        events=shared.events,
        stderr=stderr,
        monotonic=time.monotonic,
        local_now=lambda: datetime.now(UTC).astimezone(),
    )


def choose_language(option: str | None) -> None:
    """Say what is shown in the language that is asked for. Raises `Usage` for an option that names none of ours."""
    language = language_of(option, os.environ.get)
    if language is None:
        raise Usage(f"--lang {option!r} is no language of exportctl", hint=f"one of {', '.join(LANGUAGES)}")
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    # Where its letters cannot be shown escapes would be worse than English.
    speak(language if encoding.lower().startswith("utf") else "en")


def open_stream(sinks: Sinks) -> Stream:
    """Return the one stream of a command's lines."""
    return Stream(
        sinks=sinks.all, correlation_id=str(uuid.uuid4()), monotonic=time.monotonic, now=lambda: datetime.now(UTC)
    )


def show(error: ExportctlError, *, quiet: bool = False) -> None:
    """Put the words to standard error, where there is one; on a single line where `quiet`."""
    with contextlib.suppress(OSError):
        colour = wants_colour(os.environ.get, is_terminal=os.isatty(2))
        os.write(2, failure(error, colour=colour, is_one_line=quiet).encode("utf-8", "replace"))


def put_error(line: str) -> None:
    """Print a safe line to standard error, where there is one."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode("utf-8", "replace"))


def put(lines: list[str]) -> None:
    """Print the lines to standard output. Raises as `write` does."""
    write("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))


def write(data: bytes) -> None:
    """Write all of `data` to standard output. Raises `BrokenPipeError`, and `CannotWrite` for all else."""
    try:
        write_all(1, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write to standard output: {error.strerror}") from error


def pass_on(number: signal.Signals | None) -> None:
    """End by the signal itself, so that shells and loops stop as they should."""
    if number is None:
        return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
