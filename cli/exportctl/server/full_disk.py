"""What a full disk is called by whoever meets it: the system, or SQLite."""

import errno
import sqlite3
from typing import Final

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """Say whether an error is that of a disk, or of a quota, without room."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    # Misuse of SQLite's library has no code.
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
