"""The people's database: its schema, and the one connection to it."""

import contextlib
import hashlib
import os
import secrets
import sqlite3
from pathlib import Path

from exportctl.server.transactions import transaction

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE users (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, remember INTEGER NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE refreshes (
    digest BLOB PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE accesses (
    digest BLOB PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    digest BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of_users ON sessions (user);
CREATE INDEX refreshes_of_sessions ON refreshes (session);
CREATE INDEX accesses_of_sessions ON accesses (session);
CREATE INDEX tokens_of_users ON tokens (user);
"""


class PeopleUnusableError(Exception):
    """The database of users cannot be used; the message says why, without a path."""


def open_people(path: Path) -> sqlite3.Connection:
    """Open the database at `path`, making it if it is not there; raises PeopleUnusableError.

    Whoever may read it may not read it for long: its file is made for its owner alone before anything is in it.
    """
    with contextlib.ExitStack() as undo:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            db = sqlite3.connect(path, isolation_level=None, timeout=10)
            undo.callback(db.close)
            with contextlib.suppress(sqlite3.OperationalError):
                # Locked: somebody who comes first as well is at it, for which this one does not wait by itself.
                db.execute("PRAGMA journal_mode = WAL")
            # The server asks it on its event loop, which must not wait for a disk at each session: what the power's
            # failing takes are the last sign-ins, and people sign in again.
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            with transaction(db):  # so that of two who come first one makes it
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in (*_SCHEMA.split(";"), f"PRAGMA user_version = {SCHEMA_VERSION}"):
                        db.execute(statement)
        except (OSError, sqlite3.Error) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise PeopleUnusableError(f"The users cannot be read: {said}") from error
        if version > SCHEMA_VERSION:
            raise PeopleUnusableError("The users were written by a newer version")
        undo.pop_all()
    return db


def new_token() -> str:
    """Make a secret that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> bytes:
    """Return what is kept of a secret. It is random and long, so that a fast hash keeps it as well as a slow one."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
