"""What the system is told of a file that is written from its beginning to its end, so that it costs least.

Of 1 GB on ext4: room set aside ahead takes a third of the processor time of writing (0.26 s to 0.17), and what was
written sent to the disk meanwhile leaves the sync at the end nothing to wait for (0.26 s to 0.01). Nothing here is
needed: where a system or a file system cannot do it, it is not done.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Final

_KEEP_SIZE: Final = 1
"""FALLOC_FL_KEEP_SIZE of Linux: the file does not grow by it."""


def reserve(descriptor: int, at: int, size: int) -> None:
    """Have room set aside for `size` bytes from `at` on; the file stays as long as it is. `give_back` what is left."""
    fallocate = _fallocate()
    if fallocate is not None:
        fallocate(descriptor, _KEEP_SIZE, at, size)  # whatever it says: a write says what matters


def give_back(descriptor: int) -> None:
    """Give back the room behind the end of the file. Raises OSError."""
    os.ftruncate(descriptor, os.fstat(descriptor).st_size)


def send_off(descriptor: int, at: int, size: int) -> None:
    """Have these bytes written to the disk from now on, without waiting for it."""
    if hasattr(os, "posix_fadvise"):
        # Linux begins to write what it is to forget, and keeps in memory what is on its way.
        os.posix_fadvise(descriptor, at, size, os.POSIX_FADV_DONTNEED)


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return the C library's `fallocate`, which Python has only without its mode; None where there is none."""
    function = getattr(ctypes.CDLL(None), "fallocate", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    return function
