"""All of it in one hand: what the routes and the sockets ask of the people's database."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exportctl.server.people.attempts import Attempts
from exportctl.server.people.database import open_people
from exportctl.server.people.sessions import Sessions
from exportctl.server.people.tokens import PersonalTokens
from exportctl.server.people.users import Users
from exportctl.server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Users, their sessions, their personal tokens, and who guessed how often."""

    users: Users
    sessions: Sessions
    tokens: PersonalTokens
    attempts: Attempts
    changes: Callable[[], object]
    """Returns what is another after every change, by whichever process."""


def people_file(state: Path) -> Path:
    """Return where the people of a server with this state folder are kept."""
    return state / "people.sqlite3"


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[People | None]:
    """Open the people of a server, None for one that signs nobody in; raises PeopleUnusableError."""
    if not settings.people:
        yield None
        return
    # Not above: the embedded server signs nobody in, and need not wait for it.
    from exportctl.server.people.passwords import Passwords  # noqa: PLC0415

    with contextlib.closing(open_people(people_file(settings.state))) as db:
        now, new_id = settings.clocks.now, settings.new_id
        yield People(
            users=Users(db, Passwords(), now, new_id),
            sessions=Sessions(db, now, new_id),
            tokens=PersonalTokens(db, now, new_id),
            attempts=Attempts(settings.clocks.monotonic),
            changes=lambda: (db.total_changes, db.execute("PRAGMA data_version").fetchone()[0]),
        )
