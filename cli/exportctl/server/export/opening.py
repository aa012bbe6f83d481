"""Opening a project's file as what it was taken for: a regular file within the project's folder.

Whoever may write to the folder may put a link, a pipe or a device in a file's place after the folder was read. So a
path is resolved, and then opened part by part, with no link followed on the way: what is opened is within the folder,
whatever is changed meanwhile. Where a link leads from one place of the folder to another, it is followed.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exportctl.server.export.folder import is_within

_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DESCRIPTORS = Path("/proc/self/fd")


def open_within(folder: str, path: str) -> int:
    """Open a file for reading and return its descriptor; `path` begins with `folder`.

    Raises OSError, PermissionError for what is no regular file of the folder.
    """
    # A pipe that nobody writes to must not keep whoever opens it.
    file = _open(folder, path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise PermissionError(errno.EACCES, "it is no regular file")
    return file


@contextmanager
def held_within(folder: str, path: str) -> Iterator[str]:
    """Give a path that opens this very file, whatever is put in its place; for libraries that take nothing else.

    Where the system has no such paths, it is the file's own. Raises OSError.
    """
    if not _DESCRIPTORS.is_dir():
        _split(folder, path)
        yield path
        return
    file = _open(folder, path, os.O_PATH)
    try:
        yield str(_DESCRIPTORS / str(file))
    finally:
        os.close(file)


def _split(folder: str, path: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder and the parts of the path within it, all links followed; raises PermissionError."""
    root, real = os.path.realpath(folder), os.path.realpath(path)
    if not is_within(root, real):
        raise PermissionError(errno.EACCES, "it lies outside the project's folder")
    return root, Path(os.path.relpath(real, root)).parts


def _open(folder: str, path: str, flags: int) -> int:
    root, (*through, last) = _split(folder, path)
    at = os.open(root, _THROUGH)
    try:
        for name in through:
            above, at = at, os.open(name, _THROUGH, dir_fd=at)
            os.close(above)
        file = os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise PermissionError(errno.EACCES, "it is no regular file") from error
        raise
    finally:
        os.close(at)
    if stat.S_ISLNK(os.fstat(file).st_mode):  # O_PATH opens the link itself
        os.close(file)
        raise PermissionError(errno.EACCES, "it is no regular file")
    return file
