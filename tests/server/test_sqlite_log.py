"""The event log: numbers without a gap, one end, and nothing told that is not there after SIGKILL."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exportctl.server import sqlite_log
from exportctl.server.ballast import Ballast
from exportctl.server.cursor import Cursor, start_of
from exportctl.server.job import ArchiveFacts, EventName, JobError, JobRecord, Status, timestamp
from exportctl.server.log import (
    IdempotencyKey,
    JobEndedError,
    KeyConflictError,
    LogFullError,
    LogUnusableError,
    UnknownJobError,
)
from exportctl.server.sqlite_log import SqliteLog

NOW = 1_795_000_000.123


def record(job_id="job", **changes):
    known = {
        "id": job_id,
        "log": f"log of {job_id}",
        "making": "making",
        "project": "project",
        "user": "ana",
        "options": {"annotationFormats": ["coco"], "pixelToMicrometerScale": 0.5},
        "project_name": "Buňky",
        "correlation": "correlation",
        "created": NOW,
    }
    return JobRecord(**known | changes)


@contextlib.asynccontextmanager
async def opened(path, clock=lambda: NOW):
    log = SqliteLog(path, clock)
    try:
        await log.open()
        yield log
    finally:
        await log.close()


@pytest.fixture
async def log(tmp_path):
    async with opened(tmp_path / "events.sqlite3") as log:
        yield log


@given(plan=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=30))
def test_each_jobs_events_count_from_one_without_a_gap_however_jobs_and_writers_mix(tmp_path_factory, plan):
    """Invariant: for every job, the seqs are 1..n, and the record's `last_seq` is n, with all writers at once."""

    async def main():
        async with opened(tmp_path_factory.mktemp("log") / "events.sqlite3") as log:
            for job_id in "abc":
                await log.create(record(job_id))
            writes = [
                log.append(record(job_id), EventName.PROGRESS, {"n": n}) for job_id, many in plan for n in range(many)
            ]
            await asyncio.gather(*writes)
            for job_id in "abc":
                count = sum(many for one, many in plan if one == job_id)
                events = await log.read(job_id, 0, 1000)
                assert [event.seq for event in events] == list(range(1, count + 1))
                assert [event.data["seq"] for event in events] == list(range(1, count + 1))
                assert (await log.job(job_id)).last_seq == count

    asyncio.run(main())


async def test_an_event_carries_the_envelope_and_the_record_comes_back_as_it_was(log):
    await log.create(record())
    archive = ArchiveFacts(file_name="ř.zip", size=5, sha256="00", expires=NOW + 5)
    changed = record(status=Status.COMPLETED, archive=archive, warnings=("a", "b"), completed=NOW, progress=100)
    done = await log.append(changed, EventName.COMPLETED, {"warnings": ["a", "b"]})
    assert done == replace(changed, last_seq=1) == await log.job("job")
    (event,) = await log.read("job", 0, 10)
    assert (event.seq, event.name) == (1, "export:completed")
    assert event.data == {
        "jobId": "job",
        "projectId": "project",
        "seq": 1,
        "timestamp": timestamp(NOW),
        "correlationId": "correlation",
        "warnings": ["a", "b"],
    }
    assert timestamp(NOW) == "2026-11-18T11:06:40.123Z"
    failed = record("other", status=Status.FAILED, error=JobError(code="C", message="m", hint=None, retryable=True))
    await log.create(record("other"))
    await log.append(failed, EventName.FAILED, {})
    assert (await log.job("other")).error == failed.error


async def test_a_job_has_one_end_whoever_wins_the_race_for_it(log):
    await log.create(record())
    ends = [
        (EventName.COMPLETED, Status.COMPLETED),
        (EventName.FAILED, Status.FAILED),
        (EventName.CANCELLED, Status.CANCELLED),
    ]
    tried = await asyncio.gather(
        *(log.append(record(status=status), name, {}) for name, status in ends * 3), return_exceptions=True
    )
    assert sum(isinstance(result, JobRecord) for result in tried) == 1
    assert sum(isinstance(result, JobEndedError) for result in tried) == 8
    with pytest.raises(JobEndedError):
        await log.append(record(), EventName.PROGRESS, {})
    assert len(await log.read("job", 0, 10)) == 1


@pytest.mark.parametrize(
    ("name", "status"), [(EventName.PROGRESS, Status.FAILED), (EventName.COMPLETED, Status.PROCESSING)]
)
async def test_an_end_and_the_status_of_an_end_go_together(log, name, status):
    await log.create(record())
    with pytest.raises(ValueError, match="does not go with"):
        await log.append(record(status=status), name, {})
    assert await log.read("job", 0, 10) == []


async def test_a_job_nobody_made_has_no_events(log):
    with pytest.raises(UnknownJobError):
        await log.append(record("nobody"), EventName.PROGRESS, {})
    assert await log.job("nobody") is None


async def test_jobs_are_found_by_user_project_state_and_age(log):
    for number, (user, project) in enumerate([("ana", "p"), ("ana", "q"), ("ben", "p"), ("ana", "p")]):
        await log.create(record(f"job{number}", user=user, project=project, created=NOW + number))
    await log.append(record("job0", status=Status.FAILED), EventName.FAILED, {})
    archive = ArchiveFacts(file_name="x", size=1, sha256="", expires=NOW + 10)
    done = record("job3", project="p", status=Status.COMPLETED, archive=archive)
    await log.append(done, EventName.COMPLETED, {})

    async def ids(jobs):
        return [job.id for job in await jobs]

    assert await ids(log.jobs(user="ana", project="p")) == ["job3", "job0"]
    assert await ids(log.jobs(user="ana", limit=2)) == ["job3", "job1"]
    assert await ids(log.unfinished()) == ["job1", "job2"]
    assert await ids(log.archives()) == ["job3"]
    await log.retire("job3", NOW + 4)
    assert await ids(log.archives()) == []
    retired = await log.job("job3")
    assert retired.archive == replace(archive, expires=NOW + 4)


async def test_a_key_stands_for_its_job_for_a_day_and_for_no_other_body(tmp_path):
    now = NOW
    async with opened(tmp_path / "events.sqlite3", lambda: now) as log:
        key = IdempotencyKey(user="ana", key="k", body="b")
        assert await log.keyed(key) is None
        made = await asyncio.gather(*(log.create(record(f"job{number}"), key) for number in range(5)))
        assert {job.id for job in made} == {made[0].id}
        assert len(await log.jobs()) == 1
        with pytest.raises(KeyConflictError):
            await log.create(record("other"), replace(key, body="c"))
        with pytest.raises(KeyConflictError):
            await log.keyed(replace(key, body="c"))
        assert (await log.create(record("bens", user="ben"), replace(key, user="ben"))).id == "bens"
        now += 24 * 3600 - 1
        assert (await log.keyed(key)).id == made[0].id
        now += 2
        assert await log.keyed(key) is None
        assert (await log.create(record("tomorrow"), replace(key, body="c"))).id == "tomorrow"


async def test_whoever_waits_is_told_of_an_event_that_came_between_reading_and_waiting(log):
    await log.create(record())
    cursor = Cursor(log, "job", 0)
    assert await cursor.take(10) == []
    await log.append(record(), EventName.PROGRESS, {})
    assert await cursor.wait(60)
    assert [event.seq for event in await cursor.take(10)] == [1]
    assert not await cursor.wait(0.01)
    waiting = [asyncio.create_task(cursor.wait(60)) for _ in range(5)]
    await asyncio.sleep(0)
    await log.append(record(), EventName.PROGRESS, {})
    assert await asyncio.gather(*waiting) == [True] * 5


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


@pytest.mark.parametrize(
    ("after", "log_id", "expected"),
    [
        (0, None, (0, False)),
        (7, None, (7, False)),
        (7, "log of job", (7, False)),
        (8, None, (0, True)),
        (3, "another", (0, True)),
        (0, "another", (0, True)),
    ],
)
def test_a_reader_of_another_log_begins_anew(after, log_id, expected):
    assert start_of(record(last_seq=7), after, log_id) == expected


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from server.test_sqlite_log import EventName, SqliteLog, record

async def main():
    log = SqliteLog(Path(sys.argv[1]), lambda: 0.0)
    await log.open()
    await log.create(record())
    while True:
        print((await log.append(record(), EventName.PROGRESS, {})).last_seq, flush=True)

asyncio.run(main())
"""


def killed_while_it_writes(path):
    """Have a process append events until it is killed; returns the last number it spoke of."""
    tests = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", WRITER, path, tests], stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        return int((lines + process.stdout.readlines())[-1])


async def test_what_was_appended_survives_sigkill(tmp_path):
    path = tmp_path / "events.sqlite3"
    told = await asyncio.to_thread(killed_while_it_writes, path)
    async with opened(path) as log:
        seqs = [event.seq for event in await log.read("job", 0, 100_000)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) in {told, told + 1}


async def test_a_log_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "events.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LogUnusableError, match="newer version"):
        async with opened(path):
            pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_a_jobs_last_words_are_logged_on_a_full_disk_too_and_no_job_begins_there(tmp_path, monkeypatch):
    async with opened(tmp_path / "events.sqlite3") as log:
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


@given(after=st.integers(0, 200), limit=st.integers(1, 200))
@settings(max_examples=50)
async def test_what_followers_are_told_from_memory_is_what_a_restarted_server_reads(after, limit):
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder, "log")) as log:
            running = replace(await log.create(record()), status=Status.PROCESSING)
            for number in range(150):
                running = await log.append(running, EventName.PROGRESS, {"progress": number / 3, "item": ("a", None)})
            told = await log.read("job", after, limit)
            assert await log.read("nobody", 0, 10) == []
        async with opened(Path(folder, "log")) as again:
            assert told == await again.read("job", after, limit)
    assert [event.seq for event in told] == list(range(1, 151))[after : after + limit]


async def test_a_year_of_jobs_makes_no_question_look_at_all_of_them(log, tmp_path):
    asked = []
    log._db.set_trace_callback(asked.append)  # what it asks, in its own words
    await log.jobs(user="ana", limit=10)
    await log.jobs(user="ana", project="p", limit=10)
    await log.archives()
    await log.forget(NOW)
    log._db.set_trace_callback(None)
    selects = [query for query in asked if query.startswith(("SELECT", "DELETE"))]
    assert len(selects) == 4
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite3")) as db:
        plans = {query: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")] for query in selects}
    for query, plan in plans.items():
        assert not [step for step in plan if step.startswith("SCAN")], (query, plan)
        assert any("INDEX jobs_" in step for step in plan), (query, plan)


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
