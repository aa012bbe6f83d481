"""Opening a project's file as what it was taken for: a regular file within the project's folder.

Whoever may write to the folder may put a link, a pipe or a device in a file's place after the folder was read. So a
file is opened part by part, with no link followed on the way: what is opened is within the folder, whatever is changed
meanwhile. Where a link leads from one place of the folder to another, it is resolved first, and opened in that way.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PLACE: Final = getattr(os, "O_PATH", os.O_RDONLY)
_THROUGH: Final = _PLACE | os.O_DIRECTORY
_IN_THE_WAY: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
_DESCRIPTORS: Final = Path("/proc/self/fd")


class HeldFolder:
    """A project's folder, held open for whoever opens many of its files; used in a `with`.

    Paths are relative to it, with forward slashes. Raises OSError.
    """

    def __init__(self, folder: str) -> None:
        self._root = os.path.realpath(folder)
        self._at = os.open(self._root, _THROUGH | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._at)

    def open(self, path: str, _flags: int = os.O_RDONLY) -> int:
        """Open a file for reading and return its descriptor, as an opener of `open` does.

        Raises OSError, PermissionError for what is no regular file of the folder.
        """
        # A pipe that nobody writes to must not keep whoever opens it.
        return self._regular(path, os.O_RDONLY | os.O_NONBLOCK)

    def hold(self, path: str) -> int:
        """Return a descriptor of a file that is good for no more than its path; raises OSError as `open`."""
        return self._regular(path, _PLACE)

    def open_folder(self, path: str) -> int:
        """Open a folder within, none of its parts a link, or the folder itself by ''; raises OSError."""
        return _opened(self._at, path.split("/") if path else ["."], os.O_RDONLY | os.O_DIRECTORY)

    def _regular(self, path: str, flags: int) -> int:
        try:
            file = self._found(path, flags)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise PermissionError(error.errno, "it is no regular file") from error
            raise
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise PermissionError(errno.EACCES, "it is no regular file")
        return file

    def _found(self, path: str, flags: int) -> int:
        parts = path.split("/")
        if ".." not in parts:
            try:
                return _opened(self._at, parts, flags)
            except OSError as error:
                if error.errno not in _IN_THE_WAY:
                    raise
        real = os.path.realpath(os.path.join(self._root, path))  # noqa: PTH118 - a path that need not be UTF-8
        if not is_within(self._root, real):
            raise PermissionError(errno.EACCES, "it lies outside the project's folder")
        return _opened(self._at, Path(real).relative_to(self._root).parts or (".",), flags)


def open_within(folder: str, path: str) -> int:
    """Open one file for reading and return its descriptor; `path` begins with `folder`.

    Raises OSError, PermissionError for what is no regular file of the folder.
    """
    with HeldFolder(folder) as held:
        return held.open(os.path.relpath(path, folder))


@contextmanager
def held_within(folder: str, path: str) -> Iterator[str]:
    """Give a path that opens this very file, whatever is put in its place; for libraries that take nothing else.

    Where the system has no such paths, it is the file's own. Raises OSError as `open_within`.
    """
    with HeldFolder(folder) as held:
        file = held.hold(os.path.relpath(path, folder))
    try:
        yield str(_DESCRIPTORS / str(file)) if _DESCRIPTORS.is_dir() else path
    finally:
        os.close(file)


def is_within(root: str, target: str) -> bool:
    """Say whether a place lies in a folder; both are real paths."""
    return os.path.commonpath([root, target]) == root


def _opened(folder: int, parts: Sequence[str], flags: int) -> int:
    """Open what lies these parts below a folder, none of them a link."""
    *through, last = parts
    at = folder
    try:
        for name in through:
            above, at = at, os.open(name, _THROUGH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            if above != folder:
                os.close(above)
        file = os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        if at != folder:
            os.close(at)
    if flags & _PLACE and stat.S_ISLNK(os.fstat(file).st_mode):  # O_PATH opens the link itself
        os.close(file)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return file
