"""What every event log must do, whoever keeps it: numbers without a gap, one end, readers told of what is there."""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exportctl.server.cursor import Cursor, start_of
from exportctl.server.job import ArchiveFacts, EventName, JobError, JobRecord, Status, timestamp
from exportctl.server.log import IdempotencyKey, JobEndedError, KeyConflictError, UnknownJobError
from server.event_logs import LOGS, NOW, opened, record


@pytest.fixture(params=LOGS, scope="module")
def make(request):
    return LOGS[request.param]


@pytest.fixture
async def log(tmp_path, make):
    async with opened(tmp_path, make=make) as log:
        yield log


@given(plan=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=30))
def test_each_jobs_events_count_from_one_without_a_gap_however_jobs_and_writers_mix(tmp_path_factory, make, plan):
    """Invariant: for every job, the seqs are 1..n, and the record's `last_seq` is n, with all writers at once."""

    async def main():
        async with opened(tmp_path_factory.mktemp("log"), make=make) as log:
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

    assert await log.newest("ana", "p", 10) == ["job3", "job0"]
    assert await log.newest("ana", None, 2) == ["job3", "job1"]
    assert [await log.job("job2", user=user) is None for user in ("ana", "ben")] == [True, False]
    assert await ids(log.unfinished()) == ["job1", "job2"]
    assert [archive.job for archive in await log.archives()] == ["job3"]
    await log.keep_until({"job3": NOW + 9, "job0": NOW + 9})
    assert [(archive.job, archive.expires) for archive in await log.archives()] == [("job3", NOW + 9)]
    assert (await log.job("job0")).archive is None
    await log.retire("job3", NOW + 4)
    assert await log.archives() == []
    retired = await log.job("job3")
    assert retired.archive == replace(archive, expires=NOW + 4)


async def test_a_key_stands_for_its_job_for_a_day_and_for_no_other_body(tmp_path, make):
    now = NOW
    async with opened(tmp_path, lambda: now, make) as log:
        key = IdempotencyKey(user="ana", key="k", body="b")
        assert await log.keyed(key) is None
        made = await asyncio.gather(*(log.create(record(f"job{number}"), key) for number in range(5)))
        assert {job.id for job in made} == {made[0].id}
        assert len(await log.newest("ana", None, 10)) == 1
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


async def test_what_no_event_tells_of_is_kept_until_the_end_and_moves_nothing_else(log):
    made = await log.create(record())
    told = await log.append(made, EventName.PROGRESS, {})
    await log.amend(replace(told, making="another", last_seq=0))
    assert await log.job("job") == replace(told, making="another")
    await log.append(replace(told, status=Status.FAILED), EventName.FAILED, {})
    with pytest.raises(JobEndedError):
        await log.amend(told)
    with pytest.raises(UnknownJobError):
        await log.amend(record("nobody"))
    assert (await log.job("job")).status is Status.FAILED
    assert log.appended == 2


async def test_what_ended_long_ago_is_forgotten_with_its_events_unless_its_archive_is_kept(log):
    archive = ArchiveFacts(file_name="x", size=1, sha256="", expires=NOW + 10)
    for number, (name, kept) in enumerate([(EventName.FAILED, None), (EventName.COMPLETED, archive)] * 2):
        made = await log.create(record(f"job{number}"))
        status = Status(name.removeprefix("export:"))
        ended = replace(made, status=status, archive=kept, completed=NOW + number)
        await log.append(ended, name, {})
    await log.create(record("running"))
    await log.forget(NOW + 2)
    assert set(await log.newest("ana", None, 10)) == {"job1", "job2", "job3", "running"}
    assert [archive.job for archive in await log.archives()] == ["job1", "job3"]
    await log.retire("job1", NOW)
    await log.forget(NOW + 2)
    assert await log.job("job1") is None
    with pytest.raises(UnknownJobError):
        await log.append(record("job1"), EventName.PROGRESS, {})


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


@given(after=st.integers(0, 200), limit=st.integers(1, 200))
@settings(max_examples=50)
async def test_what_followers_are_told_from_memory_is_what_a_restarted_server_reads(make, after, limit):
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), make=make) as log:
            running = replace(await log.create(record()), status=Status.PROCESSING)
            for number in range(150):
                running = await log.append(running, EventName.PROGRESS, {"progress": number / 3, "item": ("a", None)})
            told = await log.read("job", after, limit)
            assert await log.read("nobody", 0, 10) == []
        async with opened(Path(folder), make=make) as again:
            assert told == await again.read("job", after, limit)
    assert [event.seq for event in told] == list(range(1, 151))[after : after + limit]
