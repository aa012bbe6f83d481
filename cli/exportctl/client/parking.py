"""The folder of an embedded server: who may start it there, who holds it, and whether it can be found again.

Commands and the server meet at a few names in it. `door` is a pipe: the server reads it and lives as long as any
command holds it open for writing, so that it ends with the last of them, whatever ends that. `door.lock` is held by
whoever comes in, and by a server that is about to end, so that nobody comes in behind its back. `server.lock` is the
server's for as long as it lives: two never work in one folder. `users.lock` is shared by the commands that use it, and
`address.json` (0600) says where it listens.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from exportctl.client.locks import is_at
from exportctl.model.errors import CannotWrite

LOOK_SECONDS: Final = 0.05
"""Between looks at a lock that others hold."""
NEW_SECONDS: Final = 60.0
"""A folder without a lock in it is just being made, unless it is older than this."""
PREFIX: Final = "embedded-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a running server listens, and the token that it lets in."""

    url: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server's folder. `is_lasting`: it lies in the state folder, where a later command finds it."""

    folder: Path
    is_lasting: bool

    @property
    def server(self) -> str:
        """What stands for the server of its jobs in this machine's store."""
        return f"embedded:{self.folder.name}" if self.is_lasting else "embedded"

    @property
    def door(self) -> Path:
        """The pipe that keeps the server alive."""
        return self.folder / "door"

    @property
    def words(self) -> Path:
        """What the server says on standard error."""
        return self.folder / "server.log"

    def is_free(self) -> bool:
        """Whether no server lives here."""
        return _is_free(self.folder / "server.lock")

    def address(self) -> Address | None:
        """Return what the running server has said of itself, None where it has not yet."""
        try:
            return Address(**orjson.loads((self.folder / "address.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def knock(self) -> int | None:
        """Hold the door of a running server open and return the descriptor; None where nobody is in."""
        try:
            descriptor = os.open(self.door, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # ENOENT, ENXIO: no door, or nobody behind it
            return None
        if self.is_free() or self.address() is None:
            os.close(descriptor)
            return None
        return descriptor

    def use(self) -> int:
        """Say that this command uses the server, for as long as the descriptor that is returned stays open."""
        descriptor = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def is_used(self) -> bool:
        """Whether a command uses the server."""
        return not _is_free(self.folder / "users.lock", fcntl.LOCK_EX)

    def make_door(self) -> tuple[int, int]:
        """Make the door anew and return its inner end, to be read from, and the outer one that is held open."""
        for stale in (self.door, self.folder / "address.json"):
            stale.unlink(missing_ok=True)
        os.mkfifo(self.door, 0o600)
        inner = os.open(self.door, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        outer = os.open(self.door, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(inner, True)
        return inner, outer

    @contextlib.asynccontextmanager
    async def entrance(self) -> AsyncIterator[bool]:
        """Hold the entrance, once nobody else does; False where the folder was taken away meanwhile."""
        path = self.folder / "door.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            yield False
            return
        try:
            while not _takes(descriptor, fcntl.LOCK_EX):  # noqa: ASYNC110 - a lock of another process sets no event
                await asyncio.sleep(LOOK_SECONDS)
            yield is_at(descriptor, path)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Take away all that lies here, and the lock last of all: whoever waits for it sees that nothing is left."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                if entry.name == "door.lock":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def make_place(home: Path | None) -> Place:
    """Make a folder of its own: in `home`, or where that is None or cannot be, in the temporary folder."""
    if home is not None:
        with contextlib.suppress(OSError):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
            if _knows_locks(folder):
                return Place(folder=folder, is_lasting=True)
            shutil.rmtree(folder, ignore_errors=True)
    try:
        return Place(folder=Path(tempfile.mkdtemp(prefix="exportctl-")), is_lasting=False)
    except OSError as error:
        raise CannotWrite(
            f"no folder can be made for the embedded server: {error.strerror}", hint="TMPDIR names another place"
        ) from error


def find_place(home: Path, name: str) -> Place | None:
    """Return the folder of that name, None where there is none."""
    folder = home / name
    is_there = name.startswith(PREFIX) and Path(name).name == name and folder.is_dir()
    return Place(folder=folder, is_lasting=True) if is_there else None


def prune(home: Path, keeps: Callable[[str], bool]) -> None:
    """Take away the folders that nobody uses and that `keeps`, asked by name, does not want kept."""
    try:
        names = [entry.name for entry in os.scandir(home) if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for name in names:
        place = Place(folder=home / name, is_lasting=True)
        with contextlib.suppress(OSError):
            _prune(place, keeps)


def _prune(place: Place, keeps: Callable[[str], bool]) -> None:
    path = place.folder / "door.lock"
    if not path.exists():
        if time.time() - place.folder.stat().st_mtime > NEW_SECONDS:
            shutil.rmtree(place.folder, ignore_errors=True)
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if _takes(descriptor, fcntl.LOCK_EX) and place.is_free() and not keeps(place.folder.name):
            place.remove()
    finally:
        os.close(descriptor)


def _knows_locks(folder: Path) -> bool:
    """Whether two commands can keep out of each other's way in `folder`; not on some network shares."""
    try:
        os.mkfifo(folder / "door", 0o600)
        return _is_free(folder / "door.lock")
    except OSError:
        return False


def _is_free(path: Path, how: int = fcntl.LOCK_SH) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return True
    try:
        return _takes(descriptor, how)
    finally:
        os.close(descriptor)


def _takes(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}:
            raise
        return False
    return True
