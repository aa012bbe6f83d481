"""Users: an email and a password, of which a hash is kept."""

import re
import sqlite3
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exportctl.server.transactions import transaction

if TYPE_CHECKING:
    from exportctl.server.people.passwords import Passwords

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
_LONGEST_EMAIL = 254
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign in. `created` is in Unix seconds."""

    id: str
    email: str
    created: float


class BadUserError(ValueError):
    """An email or a password cannot be taken; the message says which and why."""


def spelled(text: str) -> str:
    """Return an address as it is kept: without spaces around it, in small letters, composed as Unicode's NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).casefold())


def email_of(text: str) -> str:
    """Return an address as it is kept. Raises BadUserError."""
    email = spelled(text)
    if len(email) > _LONGEST_EMAIL or not _EMAIL.fullmatch(email):
        raise BadUserError("Not an email address")
    return email


def has_users(db: sqlite3.Connection) -> bool:
    """Say whether a database holds any user."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM users)").fetchone()[0])


class Users:
    """The users of a database. `clock` gives Unix seconds, `new_id` an id."""

    def __init__(
        self,
        db: sqlite3.Connection,
        passwords: "Passwords",
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id
        self._passwords = passwords

    def set(self, email: str, password: str) -> User:
        """Add a user, or change the password of a known one, which ends all sessions. Raises BadUserError."""
        email = email_of(email)
        if len(password) < SHORTEST_PASSWORD:
            raise BadUserError(f"A password has {SHORTEST_PASSWORD} characters or more")
        if len(password.encode("utf-8", "surrogateescape")) > LONGEST_PASSWORD:
            raise BadUserError(f"A password has {LONGEST_PASSWORD} bytes at most")
        hashed = self._passwords.hash(password)
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT (email) DO UPDATE SET hash = excluded.hash",
                (self._new_id(), email, hashed, self._clock()),
            )
            (user,) = self._select("WHERE email = ?", email)
            self._db.execute("DELETE FROM sessions WHERE user = ?", (user.id,))
        return user

    def remove(self, email: str) -> bool:
        """Remove a user with all sessions and tokens; say whether there was one. Raises BadUserError."""
        return self._db.execute("DELETE FROM users WHERE email = ?", (email_of(email),)).rowcount > 0

    def all(self) -> list[User]:
        """Return every user, by address."""
        return self._select("")

    def are_there(self) -> bool:
        """Say whether anybody may sign in."""
        return has_users(self._db)

    def find(self, user_id: str) -> User | None:
        """Return the user of an id."""
        return next(iter(self._select("WHERE id = ?", user_id)), None)

    async def check(self, email: str, password: str, allow: Callable[[], None] = lambda: None) -> User | None:
        """Return the user if the password is right. It takes as long for an unknown user as for a wrong password.

        Passwords are looked at a few at a time; `allow` is called when it is this one's turn, and may raise.
        """
        row = self._db.execute("SELECT id, hash FROM users WHERE email = ?", (spelled(email),)).fetchone()
        is_right = await self._passwords.is_right(row and row[1], password, allow)
        # As it is by now: a password that was changed while this one waited for its turn opens no session any more.
        return next(iter(self._select("WHERE id = ? AND hash = ?", *row)), None) if is_right else None

    def _select(self, condition: str, *values: str) -> list[User]:
        query = f"SELECT id, email, created FROM users {condition} ORDER BY email"  # noqa: S608 - the condition is ours
        rows = self._db.execute(query, values)
        return [User(id=user_id, email=email, created=created) for user_id, email, created in rows]
