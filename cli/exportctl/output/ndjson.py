"""Lines as NDJSON: on standard output, in a file, or on a descriptor that a parent handed over.

Lines are written whole and at once, past every buffer, so that what was told is there whatever happens next. A
closed pipe is let through as `BrokenPipeError`: the command ends quietly. Any other failure to write is `CannotWrite`.
"""

import fcntl
import os
import select

from exportctl.model.encoding import encode
from exportctl.model.errors import CannotWrite, Usage
from exportctl.model.lines import Numbered

STANDARD_OUTPUT = 1
_DESCRIPTOR = "fd:"
_ACCESS = 0o3  # O_ACCMODE, which Python does not name


class NdjsonSink:
    """Writes every line to a descriptor; closes it in the end if it is its own."""

    def __init__(self, descriptor: int, *, name: str = "standard output", is_owner: bool = False) -> None:
        self._descriptor = descriptor
        self._name = name
        self._is_owner = is_owner

    def take(self, *numbered: Numbered) -> None:
        """Write the lines. Raises BrokenPipeError when nobody reads any more, CannotWrite for all else."""
        try:
            write_all(self._descriptor, b"".join(map(encode, numbered)))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotWrite(f"cannot write to {self._name}: {error.strerror}") from error

    def tick(self) -> None:
        """Do nothing: lines are written as they come."""

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._is_owner and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however little each call takes; wait where someone made the pipe non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            writable = select.poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()


def open_events(spec: str) -> NdjsonSink:
    """Return a sink for `--events`: a file, emptied first, or an open descriptor (`fd:3`).

    Raises Usage for a descriptor that is none or not open for writing, CannotWrite for a file that cannot be opened.
    """
    if spec.startswith(_DESCRIPTOR):
        return NdjsonSink(_open_descriptor(spec), name=spec)
    try:
        descriptor = os.open(spec, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise CannotWrite(f"cannot write the events to {spec}: {error.strerror}") from error
    except ValueError as error:
        raise Usage(f"{spec!r} is not a file name") from error
    return NdjsonSink(descriptor, name=spec, is_owner=True)


def _open_descriptor(spec: str) -> int:
    digits = spec.removeprefix(_DESCRIPTOR)
    if not (digits.isascii() and digits.isdecimal()):
        raise Usage(f"{spec!r} names no descriptor", hint="give a number, as in: --events fd:3 3>events.ndjson")
    descriptor = int(digits)
    try:
        access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & _ACCESS
    except (OSError, OverflowError) as error:
        raise Usage(f"descriptor {digits} is not open", hint=f"open it in the shell: {digits}>events.ndjson") from error
    if access == os.O_RDONLY:
        raise Usage(
            f"descriptor {digits} is open for reading only", hint=f"open it in the shell: {digits}>events.ndjson"
        )
    return descriptor
