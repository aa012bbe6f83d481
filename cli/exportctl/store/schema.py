"""What is in the database: its tables, and the way to them from what an earlier version left."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exportctl.store.errors import Unusable

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x65787063
"""`expc`: another program's database at our place is left alone."""

MIGRATIONS: Final = (
    """
    CREATE TABLE job (
        server TEXT NOT NULL, job_id TEXT NOT NULL,
        project_id TEXT, project_title TEXT, profile TEXT, options TEXT,
        is_started_here INTEGER NOT NULL DEFAULT 0, is_wanted INTEGER NOT NULL DEFAULT 0,
        output BLOB, partial BLOB, overwrites INTEGER NOT NULL DEFAULT 0, is_saved INTEGER NOT NULL DEFAULT 0,
        cursor INTEGER NOT NULL DEFAULT 0, log TEXT,
        status TEXT, exit_status INTEGER,
        began_at REAL NOT NULL, ended_at REAL,
        touched INTEGER NOT NULL, touched_at REAL NOT NULL,
        PRIMARY KEY (server, job_id)
    ) WITHOUT ROWID;
    CREATE INDEX job_by_id ON job (job_id);
    CREATE INDEX job_by_touch ON job (touched);
    """,
    """
    ALTER TABLE job ADD COLUMN extract BLOB;
    CREATE TABLE start (
        key TEXT NOT NULL PRIMARY KEY, server TEXT NOT NULL,
        project_id TEXT, project_title TEXT, profile TEXT, options TEXT,
        is_wanted INTEGER NOT NULL DEFAULT 0, output BLOB, extract BLOB, overwrites INTEGER NOT NULL DEFAULT 0,
        asked_at TEXT, began_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE usual (
        server TEXT NOT NULL, project_id TEXT NOT NULL,
        images INTEGER NOT NULL, seconds TEXT NOT NULL, noted_at REAL NOT NULL,
        PRIMARY KEY (server, project_id)
    ) WITHOUT ROWID;
    """,
)
"""Each brings the database one version up; the version is `user_version`."""


def check_ours(connection: "sqlite3.Connection", path: Path) -> None:
    """Raise `Unusable` for a database that is newer, or another program's, before anything is written to it."""
    connection.execute("BEGIN")  # one look: another command may be making it right now
    version, known = version_of(connection), _pragma(connection, "application_id")
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    connection.execute("COMMIT")
    if version > len(MIGRATIONS):
        raise Unusable(f"{path} was written by a newer exportctl: it is left alone and not used")
    if known != APPLICATION_ID and not is_empty:
        raise Unusable(f"{path} is no database of exportctl: it is left alone and not used")


def migrate(connection: "sqlite3.Connection") -> None:
    """Bring the database to this version, in one transaction."""
    import sqlite3  # noqa: PLC0415 - 8 ms that only a command with jobs needs

    if version_of(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)  # others may have brought it there since
        if version < len(MIGRATIONS):
            for step in MIGRATIONS[version:]:
                for statement in filter(str.strip, step.split(";")):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def version_of(connection: "sqlite3.Connection") -> int:
    """Return how many of the migrations the database has had."""
    return _pragma(connection, "user_version")


def _pragma(connection: "sqlite3.Connection", name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
