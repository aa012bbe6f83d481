"""The report of a recording, to standard output or into a file that is there whole or not at all."""

import contextlib
import os
import signal
import tempfile
from pathlib import Path

from exportctl.commands.body.alone import Alone, within
from exportctl.commands.body.edges import pass_on, put
from exportctl.commands.body.recording import Recording
from exportctl.commands.body.refusing import refuse
from exportctl.commands.options import Shared
from exportctl.model.errors import CannotWrite, ExportctlError, Usage
from exportctl.output.report.history import History, history
from exportctl.output.report.page import page
from exportctl.output.report.picture import alone


def report(file: str, *, svg: bool, output: str, shared: Shared) -> int:
    """Write it, and return the exit status."""
    if output == "-" and shared.ndjson:
        error = Usage(
            "--ndjson and the report cannot share standard output",
            hint="-o FILE for the report, or --events FILE for the lines",
        )
        return refuse("report", error, shared)
    try:
        told = Alone("report", shared)
    except ExportctlError as error:
        return refuse("report", error, shared)
    try:
        with within(shared.timeout):
            size = _report(file, svg=svg, output=output)
        return told.end() if output == "-" else told.end(file=str(Path(output).absolute()), size=size)
    except ExportctlError as error:
        return told.fail(error)
    except BrokenPipeError:
        pass_on(signal.SIGPIPE)
    except OSError as error:
        return told.fail(CannotWrite(f"cannot write the report: {error.strerror}"))
    return 0


def _report(file: str, *, svg: bool, output: str) -> int:
    """Make it, and put it to its place; return its bytes."""
    found = _read(file)
    text = alone(found) if svg else page(found)
    if output == "-":
        put([text.removesuffix("\n")])
    else:
        _write(Path(output), text)
    return len(text.encode())


def _read(file: str) -> History:
    recording = Recording(file)
    try:
        found = history(line for line in recording.lines() if line is not None)
    finally:
        recording.close()
    if not found.jobs:
        what = "it is empty" if not recording.others and not found.version else "it has no line of an export"
        raise Usage(
            f"nothing to report in {recording.name}: {what}",
            hint="name a file that --ndjson or --events wrote: exportctl run sample --events log.ndjson",
            code="NO_RECORDING",
        )
    return found


def _write(path: Path, text: str) -> None:
    """Put the text there, whole or not at all. Raises `CannotWrite`."""
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder", hint="name a file")
    if path.exists() and not path.is_file():  # /dev/stdout, a named pipe
        path.write_text(text, "utf-8")
        return
    partial: str | None = None
    try:
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(partial).chmod(0o666 & ~mask)
        Path(partial).replace(path)
    except OSError as error:
        if partial is not None:
            with contextlib.suppress(OSError):
                Path(partial).unlink()
        raise CannotWrite(f"cannot write {path}: {error.strerror}") from error
