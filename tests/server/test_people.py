"""Users, sessions, personal tokens and attempts, each by itself on a clock of the test's own."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from exportctl.server.people.attempts import (
    FAILURES_FOR_ADDRESS,
    FAILURES_FOR_EMAIL,
    FAILURES_FROM_ANYWHERE,
    WINDOW_SECONDS,
    Attempts,
)
from exportctl.server.people.database import PeopleUnusableError, open_people
from exportctl.server.people.passwords import Passwords
from exportctl.server.people.sessions import ACCESS_SECONDS, LONG_SECONDS, SHORT_SECONDS, SessionOverError, Sessions
from exportctl.server.people.tokens import MOST_TOKENS, PersonalTokens, TooManyTokensError
from exportctl.server.people.users import BadUserError, Users

PASSWORD = "tajné heslo č. 1"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def db(tmp_path):
    with contextlib.closing(open_people(tmp_path / "people.sqlite3")) as opened:
        yield opened


@pytest.fixture
def ids():
    numbers = iter(range(1, 1000))
    return lambda: f"id-{next(numbers)}"


@pytest.fixture
def users(db, clock, ids):
    return Users(db, Passwords(CHEAP), clock, ids)


@pytest.fixture
def ana(users):
    return users.set("ana@example.com", PASSWORD)


@pytest.fixture
def sessions(db, clock, ids):
    return Sessions(db, clock, ids)


@pytest.fixture
def tokens(db, clock, ids):
    return PersonalTokens(db, clock, ids)


async def test_a_user_is_who_gives_the_right_password_however_the_address_is_spelled(users, ana):
    assert await users.check(" Ana@Example.COM ", PASSWORD) == ana
    assert await users.check("ana@example.com", PASSWORD + " ") is None
    assert await users.check("ben@example.com", PASSWORD) is None
    assert users.find(ana.id) == ana
    assert users.find("nobody") is None


async def test_a_new_password_keeps_the_user_and_ends_the_sessions(users, ana, sessions):
    pair = sessions.open(ana.id, remember=False)
    assert users.set("ANA@example.com", "another password").id == ana.id
    assert await users.check("ana@example.com", PASSWORD) is None
    with pytest.raises(SessionOverError):
        sessions.user_of(pair.access)
    with pytest.raises(SessionOverError):
        sessions.renew(pair.refresh)


def test_a_token_whose_renewal_did_not_come_about_is_good_still(ana, sessions, monkeypatch):
    refresh = sessions.open(ana.id, remember=False).refresh

    def no_token():
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr("exportctl.server.people.sessions.new_token", no_token)
        with pytest.raises(OSError):  # noqa: PT011 - ours
            sessions.renew(refresh)
    assert sessions.user_of(sessions.renew(refresh).access) == ana.id
    with pytest.raises(SessionOverError, match="used before"):
        sessions.renew(refresh)


class Waiting(PasswordHasher):
    """A hasher in whose midst something happens."""

    def __init__(self):
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.meanwhile = lambda: None

    def verify(self, hashed, password):
        self.meanwhile()
        return super().verify(hashed, password)


async def test_a_password_that_is_changed_while_it_waits_for_its_turn_is_the_right_one_no_more(
    db, clock, ids, ana, tmp_path
):
    hasher = Waiting()
    users = Users(db, Passwords(hasher), clock, ids)

    def meanwhile():
        with contextlib.closing(open_people(tmp_path / "people.sqlite3")) as beside:
            Users(beside, Passwords(CHEAP), clock, ids).set(ana.email, "another password")

    hasher.meanwhile = meanwhile
    assert await users.check(ana.email, PASSWORD) is None


async def test_however_many_sign_in_one_password_is_looked_at_at_a_time(db, clock, ids, ana):
    hasher, turn = Waiting(), threading.Lock()
    seen = []

    def meanwhile():
        seen.append(turn.acquire(blocking=False))
        os.sched_yield()
        turn.release()

    hasher.meanwhile = meanwhile
    users = Users(db, Passwords(hasher), clock, ids)
    assert await asyncio.gather(*(users.check(ana.email, PASSWORD) for _ in range(20))) == [ana] * 20
    assert seen == [True] * 20


async def test_a_password_is_changed_and_its_sessions_are_ended_or_neither(users, ana, sessions, db):
    pair = sessions.open(ana.id, remember=False)
    db.execute("CREATE TRIGGER full BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(sqlite3.IntegrityError):
        users.set(ana.email, "another password")
    assert await users.check(ana.email, PASSWORD) == ana
    assert sessions.user_of(pair.access) == ana.id


def test_a_removed_user_leaves_neither_sessions_nor_tokens(users, ana, sessions, tokens):
    pair = sessions.open(ana.id, remember=False)
    _, secret = tokens.make(ana.id, "cron")
    assert users.remove("ana@example.com")
    assert not users.remove("ana@example.com")
    assert tokens.user_of(secret) is None
    with pytest.raises(SessionOverError):
        sessions.user_of(pair.access)
    assert users.all() == []


@pytest.mark.parametrize("email", ["", "ana", "@", "a@", "a b@c", "a@b\n@c", "x" * 250 + "@example.com", "a\x00@b"])
def test_what_is_no_address_is_refused(users, email):
    with pytest.raises(BadUserError):
        users.set(email, PASSWORD)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_a_password_too_short_or_endless_is_refused(users, password):
    with pytest.raises(BadUserError):
        users.set("ana@example.com", password)


def test_an_access_token_ends_and_its_refresh_token_cures_it_once(sessions, ana, clock):
    first = sessions.open(ana.id, remember=False)
    assert sessions.user_of(first.access) == ana.id
    clock.now += ACCESS_SECONDS
    with pytest.raises(SessionOverError, match="expired"):
        sessions.user_of(first.access)
    second = sessions.renew(first.refresh)
    assert sessions.user_of(second.access) == ana.id
    assert (second.refresh != first.refresh, second.refresh_seconds) == (True, SHORT_SECONDS)


def test_a_refresh_token_used_twice_ends_its_session_and_no_other(sessions, ana):
    stolen, other = sessions.open(ana.id, remember=False), sessions.open(ana.id, remember=True)
    renewed = sessions.renew(stolen.refresh)
    with pytest.raises(SessionOverError, match="used before"):
        sessions.renew(stolen.refresh)
    for token in (renewed.refresh, stolen.refresh):
        with pytest.raises(SessionOverError):
            sessions.renew(token)
    with pytest.raises(SessionOverError):
        sessions.user_of(renewed.access)
    assert sessions.user_of(other.access) == ana.id


@pytest.mark.parametrize(("remember", "seconds"), [(False, SHORT_SECONDS), (True, LONG_SECONDS)])
def test_a_session_lasts_from_its_last_renewal(sessions, ana, clock, remember, seconds):
    pair = sessions.open(ana.id, remember=remember)
    clock.now += seconds - 1
    pair = sessions.renew(pair.refresh)
    clock.now += seconds - 1
    pair = sessions.renew(pair.refresh)
    clock.now += seconds
    with pytest.raises(SessionOverError):
        sessions.renew(pair.refresh)


def test_signing_out_ends_the_access_token_too(sessions, ana):
    pair = sessions.open(ana.id, remember=False)
    sessions.end(pair.refresh)
    sessions.end("rubbish")
    with pytest.raises(SessionOverError):
        sessions.user_of(pair.access)


def test_what_is_over_does_not_stay(sessions, ana, clock, db):
    for _ in range(3):
        pair = sessions.open(ana.id, remember=False)
        for _ in range(3):
            pair = sessions.renew(pair.refresh)
            clock.now += 2 * ACCESS_SECONDS
    clock.now += SHORT_SECONDS
    sessions.open(ana.id, remember=False)
    assert [
        db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("sessions", "refreshes", "accesses")
    ] == [1, 1, 1]


def test_a_personal_token_is_its_users_until_ended(tokens, ana, users):
    ben = users.set("ben@example.com", PASSWORD)
    made, secret = tokens.make(ana.id, "cron")
    assert tokens.user_of(secret) == ana.id
    assert tokens.of(ana.id) == [made]
    assert not tokens.end(ben.id, made.id)
    assert tokens.end(ana.id, made.id)
    assert tokens.user_of(secret) is None


def test_nobody_has_tokens_without_number(tokens, ana):
    for number in range(MOST_TOKENS):
        tokens.make(ana.id, f"token {number}")
    with pytest.raises(TooManyTokensError):
        tokens.make(ana.id, "one more")


def test_no_secret_is_in_the_files_and_only_their_owner_reads_them(ana, sessions, tokens, tmp_path):
    pair = sessions.open(ana.id, remember=True)
    pair = sessions.renew(pair.refresh)
    _, secret = tokens.make(ana.id, "cron")
    files = sorted(tmp_path.glob("people.sqlite3*"))
    kept = b"".join(file.read_bytes() for file in files)
    assert b"ana@example.com" in kept
    assert not any(word.encode() in kept for word in (PASSWORD, pair.access, pair.refresh, secret))
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_whoever_comes_first_makes_the_database_and_the_others_use_it(tmp_path):
    def opened(number):
        open_people(tmp_path / f"{number // 8}").close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(opened, range(160)))


def test_what_is_wrong_is_said_without_a_path_and_leaves_nothing_open(tmp_path):
    with pytest.raises(PeopleUnusableError) as refused:
        open_people(tmp_path)
    assert str(refused.value) == "The users cannot be read: Is a directory"


def test_a_newer_or_broken_database_is_left_alone_and_said(tmp_path):
    path = tmp_path / "people.sqlite3"
    open_people(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(PeopleUnusableError, match="newer"):
        open_people(path)
    os.truncate(path, 0)
    path.write_bytes(b"not a database, whatever it is called" * 10)
    with pytest.raises(PeopleUnusableError):
        open_people(path)


def test_whoever_guesses_too_often_waits_and_others_do_not(clock):
    attempts = Attempts(clock)
    for _ in range(FAILURES_FOR_EMAIL):
        assert attempts.wait("10.0.0.1", "ana@example.com") == 0
        attempts.failed("10.0.0.1", "ana@example.com")
    assert attempts.wait("10.0.0.1", "ana@example.com") == WINDOW_SECONDS
    assert attempts.wait("10.0.0.2", "ana@example.com") == 0
    assert attempts.wait("10.0.0.1", "ben@example.com") == 0
    clock.now += WINDOW_SECONDS
    assert attempts.wait("10.0.0.1", "ana@example.com") == 0


def test_one_password_cannot_be_tried_on_all_users(clock):
    attempts = Attempts(clock)
    for number in range(FAILURES_FOR_ADDRESS):
        attempts.failed("10.0.0.1", f"user{number}@example.com")
    assert attempts.wait("10.0.0.1", "another@example.com") == WINDOW_SECONDS
    assert attempts.wait("10.0.0.2", "another@example.com") == 0


def test_nobody_guesses_from_addresses_without_number_and_the_user_is_not_locked_out(clock):
    attempts = Attempts(clock)
    attempts.succeeded("192.0.2.1", "ana@example.com")
    for number in range(FAILURES_FROM_ANYWHERE):
        assert attempts.wait(f"10.0.0.{number}", "ana@example.com") == 0
        attempts.failed(f"10.0.0.{number}", "ana@example.com")
    assert attempts.wait("10.0.1.1", "ana@example.com") == WINDOW_SECONDS
    assert attempts.wait("10.0.1.1", "ben@example.com") == 0
    assert attempts.wait("192.0.2.1", "ana@example.com") == 0


def test_what_one_site_has_of_ipv6_is_one_address(clock):
    attempts = Attempts(clock)
    for number in range(FAILURES_FOR_EMAIL):
        attempts.failed(f"2001:db8:0:1::{number:x}", "ana@example.com")
    assert attempts.wait("2001:db8:0:1:ffff::1", "ana@example.com") == WINDOW_SECONDS
    assert attempts.wait("2001:db8:0:2::1", "ana@example.com") == 0


def test_failures_of_many_are_remembered_in_bounded_memory(clock):
    attempts = Attempts(clock)
    for number in range(30_000):
        attempts.failed(f"10.{number >> 8}.{number & 255}.1", "ana@example.com")
    assert len(attempts._failures) <= 10_000
