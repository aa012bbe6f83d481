"""The three standard streams, open whatever a caller closed.

The next file or socket that is opened takes a descriptor that is free: with `>&-` that of standard output, and what is
written there would go into a database. In its place stands the null device, opened the wrong way round: writing to what
was closed, or reading from it, fails as it should.
"""

import os


def keep_open() -> None:
    """Open the null device where a standard stream is closed; call it before any file is opened to stay."""
    for descriptor, wrong_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, wrong_way)  # takes the lowest that is free: this one
