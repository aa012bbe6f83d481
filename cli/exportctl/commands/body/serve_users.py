"""Who may sign in to the export server: added, removed and listed in its state folder, while it runs or not."""

import contextlib
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from exportctl.commands.body import credentials
from exportctl.commands.serve import Who
from exportctl.model.errors import CannotWrite, NotFound, Usage
from exportctl.output.safe import visible
from exportctl.server.people.database import PeopleUnusableError, open_people
from exportctl.server.people.passwords import Passwords
from exportctl.server.people.people import people_file
from exportctl.server.people.users import BadUserError, Users, email_of, has_users
from exportctl.server.preconditions import StartError, check_owner, unusable


def is_wanted(who: Who) -> bool:
    """Return whether the command is about users, and not to serve."""
    return who.add_user is not None or who.remove_user is not None or who.list_users


def change(who: Who, state: Path, folders: list[str]) -> int:
    """Do what is wanted, and return the exit status. Raises `Usage`, `NotFound`, `CannotWrite`."""
    wanted = [option for option in (who.add_user, who.remove_user, who.list_users or None) if option is not None]
    if folders or len(wanted) > 1:
        raise Usage(
            "--add-user, --remove-user and --list-users stand alone", hint="serve the folders with another command"
        )
    with _opened(state) as db:
        users = Users(db, Passwords(), time.time, lambda: str(uuid.uuid4()))
        try:
            if who.add_user is not None:
                # The address is judged before a person is asked for a password.
                email = email_of(who.add_user)
                users.set(email, credentials.ask_new_password(email, password_stdin=who.password_stdin))
            elif who.remove_user is not None:
                if not users.remove(who.remove_user):
                    raise NotFound(f"no user {who.remove_user}", hint="exportctl serve --list-users")
            else:
                sys.stdout.write("".join(f"{visible(user.email)}\n" for user in users.all()))
        except BadUserError as error:
            given = who.remove_user if who.add_user is None else who.add_user
            raise Usage(f"{given!r}: {error}") from error
    return 0


def are_there(state: Path) -> bool:
    """Return whether anybody may sign in to a server with this state folder. Raises `CannotWrite`."""
    with _in_words(state):
        check_owner(state)
        try:
            people_file(state).stat()
        except FileNotFoundError:
            return False
    with _opened(state) as db:
        return has_users(db)


@contextlib.contextmanager
def _opened(state: Path) -> Iterator[sqlite3.Connection]:
    with _in_words(state):
        check_owner(state)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.closing(open_people(people_file(state))) as db:
            yield db


@contextlib.contextmanager
def _in_words(state: Path) -> Iterator[None]:
    try:
        yield
    except StartError as error:
        raise CannotWrite(error.message, hint=error.hint, code=error.code) from error
    except (OSError, sqlite3.Error, PeopleUnusableError) as error:
        wrong = unusable(state, error)
        raise CannotWrite(wrong.message, hint=wrong.hint, code=wrong.code) from error
