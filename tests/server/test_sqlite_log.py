"""The event log of one machine: nothing told that is not there after SIGKILL, last words on a full disk, and speed."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from exportctl.server import sqlite_log
from exportctl.server.ballast import Ballast
from exportctl.server.job import EventName, Status
from exportctl.server.log import IdempotencyKey, LogFullError, LogUnusableError
from server.event_logs import NOW, opened, record


@pytest.fixture
async def log(tmp_path):
    async with opened(tmp_path) as log:
        yield log


async def test_a_writer_that_is_cancelled_still_tells_the_readers(log, monkeypatch):
    begun, append = threading.Event(), log._append

    def appended(*args):
        begun.set()
        return append(*args)

    monkeypatch.setattr(log, "_append", appended)
    await log.create(record())
    waiting = asyncio.create_task(log.wait("job", 0))
    writing = asyncio.create_task(log.append(record(), EventName.PROGRESS, {}))
    await asyncio.to_thread(begun.wait)
    writing.cancel()
    async with asyncio.timeout(10):
        await waiting
    assert [event.seq for event in await log.read("job", 0, 10)] == [1]


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from exportctl.server.job import EventName
from server.event_logs import LOGS, record

async def main():
    log = LOGS["sqlite"](Path(sys.argv[1]), lambda: 0.0)
    await log.open()
    await log.create(record())
    while True:
        print((await log.append(record(), EventName.PROGRESS, {})).last_seq, flush=True)

asyncio.run(main())
"""


def killed_while_it_writes(folder):
    """Have a process append events until it is killed; returns the last number it spoke of."""
    tests = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", WRITER, folder, tests], stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        return int((lines + process.stdout.readlines())[-1])


async def test_what_was_appended_survives_sigkill(tmp_path):
    told = await asyncio.to_thread(killed_while_it_writes, tmp_path)
    async with opened(tmp_path) as log:
        seqs = [event.seq for event in await log.read("job", 0, 100_000)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) in {told, told + 1}


async def test_a_log_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "events.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LogUnusableError, match="newer version"):
        async with opened(tmp_path):
            pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_a_jobs_last_words_are_logged_on_a_full_disk_too_and_no_job_begins_there(tmp_path, monkeypatch):
    async with opened(tmp_path) as log:
        begun = await log.create(record())

        def transaction_of_a_full_disk(db):
            # What the ballast frees is room enough.
            if (tmp_path / "ballast").exists():
                raise LogFullError
            return real(db)

        real = sqlite_log.transaction
        monkeypatch.setattr(sqlite_log, "transaction", transaction_of_a_full_disk)
        with pytest.raises(LogFullError):
            await log.append(begun, EventName.PROGRESS, {})
        ended = await log.append(replace(begun, status=Status.FAILED), EventName.FAILED, {})
        assert ended.last_seq == 1
        monkeypatch.setattr(Ballast, "keep", lambda _: False)
        with pytest.raises(LogFullError):
            await log.create(record("another"))
        monkeypatch.undo()
        await log.create(record("another"))
        assert (tmp_path / "ballast").exists()


QUESTIONS = {
    "create": lambda log: log.create(record("another")),
    "keyed": lambda log: log.keyed(IdempotencyKey(user="ana", key="k", body="b")),
    "append": lambda log: log.append(record(), EventName.PROGRESS, {}),
    "amend": lambda log: log.amend(record()),
    "job": lambda log: log.job("job"),
    "newest": lambda log: log.newest("ana", None, 10),
    "unfinished": lambda log: log.unfinished(),
    "archives": lambda log: log.archives(),
    "retire": lambda log: log.retire("job", NOW),
    "keep_until": lambda log: log.keep_until({"job": NOW}),
    "forget": lambda log: log.forget(NOW),
    "read": lambda log: log.read("job", 0, 10),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
async def test_whatever_is_wrong_with_the_database_is_an_error_of_the_log(log, tmp_path, ask):
    await log.create(record())
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite3")) as db:
        db.executescript("DROP TABLE keys; DROP TABLE events; DROP TABLE jobs")
    with pytest.raises(LogUnusableError):
        await ask(log)


async def test_a_year_of_jobs_makes_no_question_look_at_all_of_them(log, tmp_path):
    asked = []
    for db in (log._db, log._reading):
        db.set_trace_callback(asked.append)  # what it asks, in its own words
    await log.newest("ana", None, 10)
    await log.newest("ana", "p", 10)
    await log.archives()
    await log.forget(NOW)
    for db in (log._db, log._reading):
        db.set_trace_callback(None)
    selects = [query for query in asked if query.startswith(("SELECT", "DELETE"))]
    assert len(selects) == 4
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite3")) as db:
        plans = {query: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")] for query in selects}
    for query, plan in plans.items():
        assert not [step for step in plan if step.startswith("SCAN")], (query, plan)
        assert any("INDEX jobs_" in step for step in plan), (query, plan)


async def test_whoever_asks_does_not_wait_for_what_is_being_written(log, monkeypatch):
    begun, released, append = threading.Event(), threading.Event(), log._append

    def slow(*args):
        begun.set()
        released.wait()
        return append(*args)

    made = await log.create(record())
    monkeypatch.setattr(log, "_append", slow)
    writing = asyncio.create_task(log.append(made, EventName.PROGRESS, {}))
    try:
        await asyncio.to_thread(begun.wait)
        assert await log.job("job") == made
        assert await log.newest("ana", None, 10) == ["job"]
        assert await log.read("job", 0, 10) == []
    finally:
        released.set()
    written = await writing
    assert await log.job("job") == written


async def test_a_long_log_is_forgotten_in_steps_between_which_others_write(log, monkeypatch):
    monkeypatch.setattr(sqlite_log, "_FORGOTTEN_AT_ONCE", 10)
    steps, forget = [], log._forget
    monkeypatch.setattr(log, "_forget", lambda before: steps.append(before) or forget(before))
    for number, events in enumerate((35, 1, 1)):
        made = await log.create(record(f"job{number}"))
        for _ in range(events - 1):
            await log.append(made, EventName.PROGRESS, {})
        await log.append(replace(made, status=Status.FAILED, completed=NOW), EventName.FAILED, {})
    await log.forget(NOW + 1)
    assert len(steps) >= 4
    assert await log.newest("ana", None, 10) == []
    with contextlib.closing(sqlite3.connect(log._path)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)


async def test_heads_of_jobs_that_have_ended_are_kept_for_a_while_only(log, monkeypatch):
    monkeypatch.setattr(sqlite_log, "_ENDED_HEADS", 3)
    for number in range(10):
        made = await log.create(record(f"job{number}"))
        await log.append(replace(made, status=Status.FAILED, completed=NOW), EventName.FAILED, {})
    running = await log.append(await log.create(record("running")), EventName.PROGRESS, {})
    assert sorted(log._heads) == ["job7", "job8", "job9", "running"]
    await log.wait("running", running.last_seq - 1)
    await log.wait("job9", 0)


@pytest.mark.usefixtures("log")
async def test_the_database_is_for_its_owner_alone_whatever_the_folder(tmp_path):
    assert (tmp_path / "events.sqlite3").stat().st_mode & 0o077 == 0
