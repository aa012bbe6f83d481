"""The three standard streams, open whatever a caller closed.

The next file or socket that is opened takes a descriptor that is free: with `>&-` that of standard output, and what is
written there would go into a database. In its place stands the null device, opened the wrong way round: writing to what
was closed, or reading from it, fails as it should.
"""

import contextlib
import os
import sys


def keep_open() -> None:
    """Open the null device where a standard stream is closed; call it before any file is opened to stay."""
    for descriptor, wrong_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, wrong_way)  # takes the lowest that is free: this one


def let_go() -> None:
    """Put the null device where standard error or output takes no more what was written, so that the status stands.

    The interpreter flushes both at its end, and where that fails its own status, 120, replaces the command's.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # ValueError: closed under us
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
