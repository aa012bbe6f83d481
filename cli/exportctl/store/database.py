"""The database file: opened, brought to this version, replaced where it is damaged.

Every use holds a shared lock on a file beside it, and whoever replaces it an exclusive one, so that nobody is in the
middle of a transaction then; whoever comes after sees that the file at the name is another one and opens that.
(SQLite finds the write-ahead log by its name: an old connection must never meet a new log.) Within a use all is one
transaction, so that SIGKILL leaves what was there before or after, and nothing between.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from exportctl.store import schema
from exportctl.store.disk import file_system_of
from exportctl.store.errors import Unusable

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

FILE_NAME: Final = "jobs.sqlite3"
BUSY_SECONDS: Final = 5.0
REPLACE_SECONDS: Final = 2.0
"""How long a replacement waits for the uses of others, each of some milliseconds."""
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "fuse.sshfs"})
"""Where the shared memory of a write-ahead log is not shared between machines."""


class _Damaged(Exception):
    """What lies there is no database, or a broken one."""


@dataclass(slots=True, kw_only=True)
class Database:
    """The database in `folder`, opened at its first use. `warnings` collects what the user should hear."""

    folder: Path
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    warnings: list[str] = field(default_factory=list)
    is_read_only: bool = field(init=False, default=False)
    _connection: "sqlite3.Connection | None" = field(init=False, default=None)
    _identity: tuple[int, int] | None = field(init=False, default=None)
    _lock: int | None = field(init=False, default=None)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / FILE_NAME

    def use(self, work: "Callable[[sqlite3.Connection], T]", *, patience: float = BUSY_SECONDS) -> T:
        """Do `work` in one transaction and return what it returns. Raises `Unusable`.

        `patience` in seconds is how long others' transactions are waited for.
        """
        import sqlite3  # noqa: PLC0415 - 8 ms that only a command with jobs needs

        for _ in range(3):
            try:
                with self._locked(fcntl.LOCK_SH):
                    return self._transact(work, patience)
            except _Damaged as damage:
                self._replace(str(damage))
            except (sqlite3.Error, sqlite3.Warning, OSError, ValueError, OverflowError) as error:
                self.close()
                raise Unusable(f"{self.path}: {error}") from error
        raise Unusable(f"{self.path} is damaged again and again")

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = self._identity = None

    def _transact(self, work: "Callable[[sqlite3.Connection], T]", patience: float) -> T:
        import sqlite3  # noqa: PLC0415 - as above

        try:
            connection = self._opened()
            connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
            connection.execute("BEGIN" if self.is_read_only else "BEGIN IMMEDIATE")
            try:
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self.close()
                raise _Damaged(str(error)) from error
            raise
        return done

    def _opened(self) -> "sqlite3.Connection":
        identity = _identity(self.path)
        if self._connection is not None and identity is not None and identity == self._identity:
            return self._connection
        self.close()
        try:
            self._connection = self._open()
        except BaseException:
            self.close()
            raise
        self._identity = _identity(self.path)
        return self._connection

    def _open(self) -> "sqlite3.Connection":
        import sqlite3  # noqa: PLC0415 - as above

        places = [self.folder, self.path] if self.path.exists() else [self.folder]
        self.is_read_only = not all(os.access(place, os.W_OK) for place in places)
        if self.is_read_only:
            return self._open_read_only()
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection = connection
        schema.check_ours(connection, self.path)
        self._choose_journal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        schema.migrate(connection)
        return connection

    def _open_read_only(self) -> "sqlite3.Connection":
        """Open without leave to write: a log that lies there cannot be read then either, so the file is taken as is."""
        import sqlite3  # noqa: PLC0415 - as above

        if not self.path.exists():
            raise Unusable(f"no permission to write into {self.folder}")
        name = f"file:{quote(os.fsencode(self.path))}?mode=ro&immutable=1"
        connection = sqlite3.connect(name, uri=True, isolation_level=None)
        self._connection = connection
        if schema.version_of(connection) != len(schema.MIGRATIONS):
            raise Unusable(f"{self.path} is of another version, and cannot be written")
        return connection

    def _choose_journal(self, connection: "sqlite3.Connection") -> None:
        import sqlite3  # noqa: PLC0415 - as above

        wanted = "TRUNCATE" if file_system_of(self.folder) in _NETWORK else "WAL"
        deadline = self.now() + BUSY_SECONDS
        while True:
            try:
                connection.execute(f"PRAGMA journal_mode = {wanted}")
            except sqlite3.OperationalError as error:
                # The busy timeout does not hold for this change: others are making it right now.
                if "locked" in str(error) and self.now() < deadline:
                    self.sleep(0.02)
                    continue
                if wanted != "WAL" or _is_damage(error) or "full" in str(error):
                    raise
                wanted = "TRUNCATE"
                continue
            return

    def _replace(self, reason: str) -> None:
        """Take a damaged database away, with its log, once all others are done with it."""
        self.close()
        deadline = self.now() + REPLACE_SECONDS
        while True:
            try:
                with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if self._is_damaged():
                        for path in (self.path, *(Path(f"{self.path}{end}") for end in _SIDE_FILES)):
                            path.unlink(missing_ok=True)
                        lost = "what was known of earlier jobs is lost"
                        self.warnings.append(f"{self.path} was damaged ({reason}) and is replaced: {lost}")
            except BlockingIOError:
                if self.now() > deadline:
                    raise Unusable(f"{self.path} is damaged, and other commands still use it") from None
                self.sleep(0.02)
            except OSError as error:
                raise Unusable(f"{self.path} is damaged and cannot be replaced: {error.strerror}") from error
            else:
                return

    def _is_damaged(self) -> bool:
        """Whether it still is, now that nobody else uses it."""
        import sqlite3  # noqa: PLC0415 - as above

        if not self.path.exists():
            return False
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=1, isolation_level=None)) as connection:
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
                if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'job'").fetchone()[0]:
                    connection.execute("SELECT count(touched), count(is_wanted) FROM job").fetchone()
                elif schema.version_of(connection):
                    return True
        except sqlite3.DatabaseError as error:
            return _is_damage(error)
        return bool(found != "ok")

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the lock beside the database; where there are no locks, or no place for one, without."""
        descriptor = self._lock_file()
        if descriptor is None:
            yield
            return
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
            yield
            return
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lock_file(self) -> int | None:
        if self._lock is None:
            with contextlib.suppress(OSError):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                name = self.folder / f"{FILE_NAME}.lock"
                self._lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._lock


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    said = str(error)
    # 11 and 26: SQLITE_CORRUPT, SQLITE_NOTADB. A table that lacks in a database of ours was lost with its header.
    return (code is not None and code & 0xFF in {11, 26}) or said.startswith(("no such table", "no such column"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
