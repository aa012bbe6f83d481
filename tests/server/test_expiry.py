"""What is kept on disk: archives for their time and within the limit, nothing else of a job that has ended."""

import asyncio
import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from exportctl.server.expiry import Expiry
from exportctl.server.files import JobFiles
from exportctl.server.log import LogFullError
from exportctl.server.pool import Pool
from exportctl.server.settings import Clocks
from exportctl.server.sqlite_log import SqliteLog
from server.conftest import serving
from waiting import until


class Time:
    """Time that passes when tests say so, and a clock that they set."""

    def __init__(self):
        self.now = 1_795_000_000.0
        self.passed = 0.0

    def passes(self, seconds):
        self.now += seconds
        self.passed += seconds

    def clocks(self):
        return Clocks(now=lambda: self.now, monotonic=lambda: time.monotonic() + self.passed)


async def completed(server, client):
    job_id = await server.start(client)
    events = await server.events(client, job_id)
    assert events[-1]["event"] == "export:completed"
    return job_id, {event["event"]: event["data"] for event in events}


def folder_of(server, job_id):
    return server.settings.state / "jobs" / job_id


async def check_expired(server, client, job_id):
    """Hold that the archive is gone and that everybody is told so."""
    await until(lambda: not folder_of(server, job_id).exists())
    answer = await client.get(server.job_path(job_id) + "/download")
    assert (answer.status_code, answer.json()["code"]) == (410, "ARCHIVE_EXPIRED")
    assert answer.json()["hint"]
    status = (await client.get(f"/api/export/{job_id}")).json()
    assert (status["status"], status["archive"]) == ("completed", None)
    assert "over" in status["message"]


async def test_an_archive_goes_when_its_time_is_over_and_the_job_stays_known(settings_for, cells):
    clock = Time()
    settings = settings_for(cells, clocks=clock.clocks(), retention=3600)
    async with serving(settings) as server, server.client() as client:
        old, told = await completed(server, client)
        status = (await client.get(f"/api/export/{old}")).json()
        assert status["expiresAt"] == told["export:download-ready"]["expiresAt"] == "2026-11-18T12:06:40.000Z"
        assert status["archive"]["fileSize"] == told["export:download-ready"]["fileSize"]
        clock.passes(3599)
        young, _ = await completed(server, client)
        assert (await client.get(server.job_path(old) + "/download")).status_code == 200
        clock.passes(1)
        newest, _ = await completed(server, client)  # the end of a job is a moment to look
        await check_expired(server, client, old)
        for job_id in (young, newest):
            assert (await client.get(server.job_path(job_id) + "/download")).status_code == 200


async def test_the_oldest_go_where_all_together_are_too_large_but_never_the_newest(settings_for, cells):
    async with serving(settings_for(cells)) as server, server.client() as client:
        job_id, told = await completed(server, client)
        size = told["export:download-ready"]["fileSize"]
    settings = settings_for(cells, archives_limit=2 * size + 1000)
    async with serving(settings) as server, server.client() as client:
        jobs = [job_id, *[(await completed(server, client))[0] for _ in range(3)]]
        for gone in jobs[:2]:
            await check_expired(server, client, gone)
        for kept in jobs[2:]:
            assert (await client.get(server.job_path(kept) + "/download")).status_code == 200
    async with serving(settings_for(cells, archives_limit=0)) as server, server.client() as client:
        await check_expired(server, client, jobs[2])
        assert (await client.get(server.job_path(jobs[3]) + "/download")).status_code == 200


@pytest.mark.parametrize("hours", [24, 24 * 365, -24 * 365])
async def test_a_clock_that_is_set_takes_no_archives_time_and_makes_none_last_for_ever(settings_for, cells, hours):
    clock, day = Time(), 24 * 3600
    settings = settings_for(cells, clocks=clock.clocks(), retention=2 * day, history=999 * 365 * day)
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await completed(server, client)
        clock.passes(day)
        clock.now += hours * 3600
        later, _ = await completed(server, client)
        await until(lambda: 0 < left(server, job_id, clock) <= 2 * day)
        for known in (job_id, later):
            assert (await client.get(server.job_path(known) + "/download")).status_code == 200
            assert left(server, known, clock) >= day - 60
        clock.passes(2 * day)
        await completed(server, client)
        for known in (job_id, later):
            await check_expired(server, client, known)


def left(server, job_id, clock):
    """Return the seconds that an archive has."""
    with contextlib.closing(sqlite3.connect(server.settings.state / "events.sqlite3")) as db:
        return db.execute("SELECT expires FROM jobs WHERE id = ?", (job_id,)).fetchone()[0] - clock.now


async def test_time_goes_on_while_the_server_is_down(settings_for, cells):
    clock = Time()
    settings = settings_for(cells, clocks=clock.clocks(), retention=3600)
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await completed(server, client)
    clock.passes(3600)
    async with serving(settings) as server, server.client() as client:
        await check_expired(server, client, job_id)


async def test_a_job_that_ended_long_ago_is_forgotten_with_its_events_once_its_archive_is_gone(settings_for, cells):
    clock = Time()
    settings = settings_for(cells, clocks=clock.clocks(), retention=3600, history=7200)
    async with serving(settings) as server, server.client() as client:
        old = [(await completed(server, client))[0] for _ in range(2)]
        clock.passes(7199)
        young, _ = await completed(server, client)
        for job_id in old:
            await check_expired(server, client, job_id)
        clock.passes(2)
        await completed(server, client)
        await until(lambda: jobs_known(server) == 2)
        assert (await client.get(f"/api/export/{old[0]}")).status_code == 404
        assert (await client.get(server.job_path(old[1]) + "/events")).status_code == 404
        assert (await client.get(f"/api/export/{young}")).status_code == 200
        with contextlib.closing(sqlite3.connect(server.settings.state / "events.sqlite3")) as db:
            assert db.execute("SELECT count(*) FROM events WHERE job IN (?, ?)", old).fetchone() == (0,)


def jobs_known(server):
    with contextlib.closing(sqlite3.connect(server.settings.state / "events.sqlite3")) as db:
        return db.execute("SELECT count(*) FROM jobs").fetchone()[0]


async def test_what_a_server_left_of_jobs_that_have_ended_goes_at_the_next_start(settings_for, cells):
    async with serving(settings_for(cells, jobs_at_once=1)) as server, server.client() as client:
        done, _ = await completed(server, client)
        cancelled = await server.start(client)
        await client.post(server.job_path(cancelled) + "/cancel", json={})
        await server.events(client, cancelled)
    (folder_of(server, done) / "ledger").touch()
    (folder_of(server, done) / "work-1").mkdir()
    for left in (cancelled, "no-job-at-all"):
        (folder_of(server, left) / "work-1").mkdir(parents=True)
    async with serving(settings_for(cells)) as server, server.client() as client:
        await until(lambda: [path.name for path in (server.settings.state / "jobs").iterdir()] == [done])
        await until(lambda: [path.name for path in folder_of(server, done).iterdir()] == ["archive.zip"])
        assert (await client.get(server.job_path(done) + "/download")).status_code == 200


async def ran(*command):
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait() == 0


@pytest.fixture
def gate(monkeypatch):
    """What all work waits for."""
    gate, usual = asyncio.Event(), Pool.run

    async def run(self, *args, **limit):
        await gate.wait()
        return await usual(self, *args, **limit)

    monkeypatch.setattr(Pool, "run", run)
    gate.set()
    return gate


async def test_a_job_on_a_full_disk_still_has_its_end_and_leaves_the_room_it_took(settings_for, tmp_path, cells, gate):
    place = tmp_path / "small"
    place.mkdir()
    if not await ran("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)):
        pytest.skip("only root may mount a small disk")
    try:
        await check_full_disk(settings_for(cells, state=place / "state", jobs_at_once=1), place, gate)
    finally:
        assert await ran("umount", "-l", str(place))


def fill(place):
    """Leave no byte of the disk free."""
    with (place / "other").open("wb", buffering=0) as other:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while other.write(bytes(size)):
                    pass


async def check_full_disk(settings, place, gate):
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await completed(server, client)
        gate.clear()
        jobs = [await server.start(client) for _ in range(4)]
        fill(place)
        gate.set()
        ends = [(await server.events(client, job_id))[-1] for job_id in jobs]
        failed = [end["data"] for end in ends if end["event"] == "export:failed"]
        assert failed
        assert {(data["code"], data["retryable"]) for data in failed} == {("DISK_FULL", True)}
        for data in failed:
            assert data["hint"]
            await until(lambda data=data: not folder_of(server, data["jobId"]).exists())
        assert (await client.get(server.job_path(job_id) + "/download")).status_code == 200
        (place / "other").unlink()
        await completed(server, client)


async def test_on_a_full_disk_an_archive_goes_though_that_cannot_be_noted(settings_for, cells, monkeypatch):
    clock, retire = Time(), SqliteLog.retire
    settings = settings_for(cells, clocks=clock.clocks(), retention=3600)

    async def no_room(self, job_id, now):
        if (settings.state / "jobs" / job_id).exists():
            raise LogFullError
        await retire(self, job_id, now)

    monkeypatch.setattr(SqliteLog, "retire", no_room)
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await completed(server, client)
        clock.passes(3601)
        await completed(server, client)
        await check_expired(server, client, job_id)


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), ValueError("what nobody has thought of")])
async def test_what_goes_wrong_once_does_not_end_the_tidying(settings_for, cells, monkeypatch, fault):
    swept, failing = Expiry.sweep, [fault]

    async def sweep(self):
        if failing:
            raise failing.pop()
        return await swept(self)

    monkeypatch.setattr(Expiry, "sweep", sweep)
    async with serving(settings_for(cells, archives_limit=1)) as server, server.client() as client:
        first = await server.start(client)
        await server.events(client, first)
        second = await server.start(client)
        await server.events(client, second)
        assert not failing
        async with asyncio.timeout(30):
            while (await client.get(server.job_path(first) + "/download")).status_code != 410:
                pass


def test_two_may_settle_a_jobs_folder_at_once(tmp_path):
    files = JobFiles(folder=tmp_path / "job").take()
    files.archive.write_bytes(b"PK")
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(files.settle) for _ in range(32)]:
            done.result()
    assert [path.name for path in files.folder.iterdir()] == ["archive.zip"]
    JobFiles(folder=tmp_path / "gone").settle()
