"""The event log's database: its schema, how it is opened, and what a transaction of it is."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from exportctl.server import transactions
from exportctl.server.full_disk import is_full
from exportctl.server.log import LogFullError, LogUnusableError

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, project TEXT NOT NULL, created REAL NOT NULL, status TEXT NOT NULL,
    expires REAL, last_seq INTEGER NOT NULL, options TEXT NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_by_age ON jobs (created);
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
    name TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE TABLE keys (
    user TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, job TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (user, key)
) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS jobs_of_users ON jobs (user, created);
CREATE INDEX IF NOT EXISTS jobs_with_archives ON jobs (expires) WHERE expires IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (json_extract(record, '$.completed')) WHERE expires IS NULL;
"""
"""So that a year of jobs makes nothing slower. An older version passes them over, and a newer one finds them."""


def connect(path: Path) -> sqlite3.Connection:
    """Return a further connection to a database that is open; raises sqlite3.Error."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database at `path`, making it if it is not there; raises LogUnusableError."""
    with contextlib.ExitStack() as undo:
        try:
            # For its owner alone before anything is in it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            db = connect(path)
            undo.callback(db.close)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            if version <= SCHEMA_VERSION:
                db.executescript(_INDEXES)
        except (OSError, sqlite3.Error) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise LogUnusableError(f"The event log cannot be opened: {said}") from error
        if version > SCHEMA_VERSION:
            raise LogUnusableError("The event log was made by a newer version of exportctl")
        undo.pop_all()
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Have all of the block stored, or nothing; raises LogFullError, LogUnusableError."""
    with as_log_errors(), transactions.transaction(db):
        yield


@contextlib.contextmanager
def as_log_errors() -> Iterator[None]:
    """Say what is wrong with the database, or its disk, as the log's users know it: LogFullError, LogUnusableError."""
    try:
        yield
    except sqlite3.Error as error:
        if is_full(error):
            raise LogFullError("The disk with the event log is full") from error
        raise LogUnusableError(f"The event log cannot be used: {error}") from error
    except OSError as error:
        raise LogUnusableError(f"The event log cannot be used: {error.strerror}") from error
