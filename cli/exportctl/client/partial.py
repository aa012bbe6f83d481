"""The partial file beside the target: bytes that are no archive yet, and the sidecar that says of which they are.

Named after job and target, locked while in use. The sidecar (validator, size, digest) is on disk before the first
byte, so that bytes of one making of an archive never meet those of another. `publish` makes it the target: synced,
then renamed, never over a file that is there unless told so.
"""

import contextlib
import errno
import fcntl
import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import orjson

from exportctl.client import disk
from exportctl.client.destination import JOB_LETTERS
from exportctl.client.locks import takes
from exportctl.model.errors import CannotWrite

_WRITE: Final = 1 << 17
"""Bytes written at once: 1.5 GB cost ext4 0.3 s of processor time in pieces of 128 kB, 0.5 of 16 kB, 1.5 of 4 MB."""
_AHEAD: Final = 1 << 26
"""Bytes for which room is set aside at a time; in small files none."""
_SENT: Final = 1 << 24
"""Bytes sent off to the disk at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Of which archive the bytes are. `etag` is the server's validator, `size` in bytes, `sha256` in hexadecimal."""

    job_id: str
    etag: str | None
    size: int | None
    sha256: str | None


class Partial:
    """One partial file, open and locked. Use as a context manager; it stays on disk unless published or removed."""

    def __init__(self, target: Path, job_id: str) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.{job_id[:JOB_LETTERS]}.part")
        self._sidecar = self.path.with_name(self.path.name + ".json")
        self._file = -1
        self._at = self._reserved = self._sent = 0

    def __enter__(self) -> Self:
        """Open and lock; raises `CannotWrite` where that cannot be, or another command holds it."""
        while True:
            try:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            except OSError as error:
                raise cannot_write(self.target, error) from error
            try:
                self._lock()
                if self._is_ours_alone():
                    return self
            except BaseException:
                os.close(self._file)
                raise
            # Its former holder published or removed it between the opening and the lock, or was killed while it did.
            os.close(self._file)

    def __exit__(self, *_: object) -> None:
        """Close; the lock goes with the descriptor. One that never began is no use to anybody, and goes too."""
        with contextlib.suppress(OSError):
            self._give_back()
            if not self.size and not self._sidecar.exists() and self._is_ours_alone():
                self.path.unlink()
        os.close(self._file)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return os.fstat(self._file).st_size

    def origin(self) -> Origin | None:
        """Return what the sidecar says, None where there is none or it is damaged."""
        try:
            said = orjson.loads(self._sidecar.read_bytes())
            return Origin(**said)
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Forget all bytes and note whose the next ones are."""
        try:
            self._go_on_at(0)
        except OSError as error:
            raise cannot_write(self.target, error) from error
        self.note(origin)

    def note(self, origin: Origin) -> None:
        """Note more of the archive whose bytes these are."""
        try:
            aside = self._sidecar.with_name(self._sidecar.name + ".new")
            try:
                with aside.open("wb") as file:
                    file.write(orjson.dumps(asdict(origin)))
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(self._sidecar)
            except OSError:
                aside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def append(self, chunk: bytes | memoryview) -> None:
        """Write all of `chunk` at the end."""
        end = self._at + len(chunk)
        try:
            if self._reserved < end and self._at >= _SENT:
                disk.reserve(self._file, self._at, len(chunk) + _AHEAD)
                self._reserved = end + _AHEAD
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._file, rest[:_WRITE]) :]
            self._at = end
            if end - self._sent >= _SENT:
                disk.send_off(self._file, self._sent, end - self._sent)
                self._sent = end
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def go_on_at(self, size: int) -> None:
        """Keep the first `size` bytes, and write on behind them."""
        try:
            self._go_on_at(size)
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def publish(self, *, overwrite: bool) -> None:
        """Make the partial the target; on disk for good before this returns."""
        try:
            self._give_back()
            os.fsync(self._file)
            if overwrite:
                self.path.replace(self.target)
            else:
                self._link()
            self._sidecar.unlink(missing_ok=True)
            _sync_folder(self.target.parent)
        except FileExistsError as error:
            raise CannotWrite(
                f"{self.target} appeared meanwhile", hint="--overwrite replaces it, -o names another", code="EXISTS"
            ) from error
        except OSError as error:
            raise cannot_write(self.target, error) from error

    def remove(self) -> None:
        """Take partial and sidecar away."""
        for path in (self.path, self._sidecar):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _go_on_at(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        self._at = self._reserved = self._sent = size

    def _give_back(self) -> None:
        if self._reserved > self._at:
            disk.give_back(self._file)
            self._reserved = self._at

    def _lock(self) -> None:
        if not takes(self._file):
            raise CannotWrite(
                f"another command is fetching {self.target} right now",
                hint="wait for it, or name another -o",
                code="LOCKED",
            )

    def _is_ours_alone(self) -> bool:
        """Whether the open file still is the one at its name, and at no other name.

        A command killed in `publish` leaves target and partial two names of one file: bytes written here would be
        written into the target. Such a partial is taken away.
        """
        try:
            here, opened = self.path.lstat(), os.fstat(self._file)
            if not os.path.samestat(here, opened):
                return False
            if opened.st_nlink > 1:
                self.path.unlink()
                return False
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot_write(self.target, error) from error
        return True

    def _link(self) -> None:
        """Rename without ever replacing: a hard link fails where the name is taken, a rename would not."""
        try:
            os.link(self.path, self.target)
        except FileExistsError:
            raise
        except OSError:
            # No hard links on this file system (FAT, some network shares): the next best,
            # with a moment between look and rename.
            if os.path.lexists(self.target):
                raise FileExistsError(errno.EEXIST, "exists", str(self.target)) from None
            self.path.replace(self.target)
        else:
            self.path.unlink()


def is_left(path: Path) -> bool:
    """Whether bytes lie in the partial at `path` that no command is fetching on with right now."""
    with contextlib.suppress(OSError), _taken(path) as descriptor:
        return os.fstat(descriptor).st_size > 0
    return False


def discard(path: Path) -> None:
    """Take away the partial at `path`, whose archive there will not be, unless a command is writing to it."""
    with contextlib.suppress(OSError), _taken(path):
        path.unlink()
        path.with_name(path.name + ".json").unlink(missing_ok=True)


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[int]:
    """Hold the partial that lies at `path`, as a descriptor. Raises `OSError` where there is none, or it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def cannot_write(target: Path, error: OSError) -> CannotWrite:
    """Return the words for an operating system's refusal."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return CannotWrite(
                f"the disk of {target.parent} is full",
                hint="make room, then: exportctl resume (with --no-state: exportctl download)",
                code="DISK_FULL",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return CannotWrite(f"no permission to write {target}", hint="-o names another place", code="NO_PERMISSION")
        case errno.ENAMETOOLONG:
            return CannotWrite(f"the name of {target} is too long", hint="-o names a shorter one", code="NAME_TOO_LONG")
        case errno.EFBIG:
            return CannotWrite(
                f"{target} is larger than a file may be there",
                hint="-o names a place on another file system (FAT takes 4 GB), or ulimit -f is set",
                code="FILE_TOO_LARGE",
            )
        case errno.ENOENT if not target.parent.exists():
            return CannotWrite(
                f"there is no folder {target.parent}",
                hint=f"mkdir -p {shlex.quote(str(target.parent))}",
                code="NO_FOLDER",
            )
        case errno.ENOENT:
            return CannotWrite(
                f"{target} cannot be written: what was fetched was taken away meanwhile",
                hint="the same command begins anew",
                code="TAKEN_AWAY",
            )
        case _:
            return CannotWrite(f"{target} cannot be written: {error.strerror or error}")


def no_room(folder: Path, needed: int, free: int) -> CannotWrite:
    """Return the words for a disk that would be full before all is there; both sizes in bytes."""
    return CannotWrite(
        f"{needed / 1e6:,.1f} MB are to be written, and the disk of {folder} has {free / 1e6:,.1f} MB free",
        hint="make room, then: exportctl resume (with --no-state: exportctl download)",
        code="DISK_FULL",
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse to sync a folder; the file itself is synced
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
