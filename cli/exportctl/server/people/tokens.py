"""Personal tokens: for scripts, good until they are ended, shown once."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from exportctl.server.people.database import digest_of, new_token

MOST_TOKENS = 100


class TooManyTokensError(Exception):
    """A user has as many tokens as one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalToken:
    """What is known of a token after it was shown. `created` is in Unix seconds."""

    id: str
    name: str
    created: float


class PersonalTokens:
    """The personal tokens of a database. `clock` gives Unix seconds, `new_id` an id."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    def make(self, user: str, name: str) -> tuple[PersonalToken, str]:
        """Make a token, and return it with its secret, which nobody can ask for again; raises TooManyTokensError."""
        if len(self.of(user)) >= MOST_TOKENS:
            raise TooManyTokensError
        made, secret = PersonalToken(id=self._new_id(), name=name, created=self._clock()), new_token()
        row = (digest_of(secret), made.id, user, made.name, made.created)
        self._db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?)", row)
        return made, secret

    def of(self, user: str) -> list[PersonalToken]:
        """Return a user's tokens, oldest first."""
        rows = self._db.execute("SELECT id, name, created FROM tokens WHERE user = ? ORDER BY created, id", (user,))
        return [PersonalToken(id=token_id, name=name, created=created) for token_id, name, created in rows]

    def end(self, user: str, token_id: str) -> bool:
        """End a token of this user; say whether there was one."""
        return self._db.execute("DELETE FROM tokens WHERE user = ? AND id = ?", (user, token_id)).rowcount > 0

    def user_of(self, secret: str) -> str | None:
        """Return whose token it is."""
        row = self._db.execute("SELECT user FROM tokens WHERE digest = ?", (digest_of(secret),)).fetchone()
        return row and str(row[0])
