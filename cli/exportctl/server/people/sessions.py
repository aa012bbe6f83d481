"""Sessions, as protocol 1's cookies: an access token of a quarter of an hour, a refresh token that is good once.

A refresh token used a second time was stolen, by one of the two who used it: its session ends (RFC 9700, 4.14.2).
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from exportctl.server.people.database import digest_of, new_token
from exportctl.server.transactions import transaction

ACCESS_SECONDS = 15 * 60
SHORT_SECONDS = 7 * 24 * 3600
LONG_SECONDS = 30 * 24 * 3600


class SessionOverError(Exception):
    """The token opens no session; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a client is given. `refresh_seconds`: how long the refresh token is good."""

    access: str
    refresh: str
    refresh_seconds: int


class Sessions:
    """The sessions of a database. `clock` gives Unix seconds, `new_id` an id."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    def open(self, user: str, *, remember: bool) -> Pair:
        """Begin a session of a user."""
        now = self._clock()
        session, seconds = self._new_id(), LONG_SECONDS if remember else SHORT_SECONDS
        with transaction(self._db):
            self._db.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (session, user, remember, now + seconds))
            return self._issue(session, seconds)

    def renew(self, refresh: str) -> Pair:
        """Give new tokens for a refresh token; raises SessionOverError."""
        digest = digest_of(refresh)
        row = self._db.execute(
            "SELECT id, remember, expires FROM refreshes JOIN sessions ON session = id WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None or row[2] <= self._clock():
            raise SessionOverError("Invalid or expired refresh token")
        session, remember, _ = row
        seconds = LONG_SECONDS if remember else SHORT_SECONDS
        # All or nothing: a server that dies, or whose disk is full, must not use a token up and give no other.
        with transaction(self._db):
            if self._db.execute("UPDATE refreshes SET used = 1 WHERE digest = ? AND NOT used", (digest,)).rowcount:
                self._db.execute("UPDATE sessions SET expires = ? WHERE id = ?", (self._clock() + seconds, session))
                return self._issue(session, seconds)
            self._db.execute("DELETE FROM sessions WHERE id = ?", (session,))
        raise SessionOverError("This refresh token was used before: the session has ended")

    def end(self, refresh: str) -> None:
        """End the session of a refresh token; one that is unknown is no matter."""
        query = "DELETE FROM sessions WHERE id = (SELECT session FROM refreshes WHERE digest = ?)"
        self._db.execute(query, (digest_of(refresh),))

    def user_of(self, access: str) -> str:
        """Return whose access token it is; raises SessionOverError."""
        row = self._db.execute(
            "SELECT user, accesses.expires FROM accesses JOIN sessions ON session = id WHERE digest = ?",
            (digest_of(access),),
        ).fetchone()
        if row is None:
            raise SessionOverError("Invalid access token")
        user, expires = row
        if expires <= self._clock():
            raise SessionOverError("The access token has expired")
        return str(user)

    def of_access(self, access: str) -> str | None:
        """Return the session of an access token."""
        row = self._db.execute("SELECT session FROM accesses WHERE digest = ?", (digest_of(access),)).fetchone()
        return row and str(row[0])

    def is_open(self, session: str) -> bool:
        """Say whether a session can still be renewed."""
        query = "SELECT 1 FROM sessions WHERE id = ? AND expires > ?"
        return self._db.execute(query, (session, self._clock())).fetchone() is not None

    def _issue(self, session: str, seconds: int) -> Pair:
        pair = Pair(access=new_token(), refresh=new_token(), refresh_seconds=seconds)
        now = self._clock()
        # Kept a while longer than they are good: a client is told that its token has expired, not that it is rubbish.
        self._db.execute("DELETE FROM accesses WHERE session = ? AND expires <= ?", (session, now - ACCESS_SECONDS))
        self._db.execute(
            "INSERT INTO accesses VALUES (?, ?, ?)", (digest_of(pair.access), session, now + ACCESS_SECONDS)
        )
        self._db.execute("INSERT INTO refreshes VALUES (?, ?, 0)", (digest_of(pair.refresh), session))
        return pair
