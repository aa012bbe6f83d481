"""Locks on open files: they keep commands out of each other's way, and end with whoever holds them."""

import fcntl
import os
from pathlib import Path


def takes(descriptor: int) -> bool:
    """Whether the file's lock is had now, and not held by another.

    A file system that cannot lock (some network shares) gives it to everybody: better without a guard there than not
    at all.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one at `path`: its holder may have taken it away before its lock was had."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False
