"""What readers of an archive in the making are told: only what is on disk for good, and its end as it is."""

import asyncio
import threading

import pytest

from exportctl.server.growth import BEHIND, Growth, Growths, LostError
from exportctl.server.job import JobRecord, Status
from waiting import until


class Disk:
    """Notes each sync, and holds it until told."""

    def __init__(self):
        self.synced = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self, _path):
        assert self.go.wait(20)
        self.synced += 1


async def test_a_reader_is_told_of_bytes_only_when_they_are_on_disk(tmp_path):
    disk = Disk()
    disk.go.clear()
    growth = Growth(disk)
    reader = asyncio.create_task(growth.beyond(0))
    growth.grown(tmp_path / "a", 10)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    growth.grown(tmp_path / "a", 25)  # while the first sync is under way: that one need not hold it
    await asyncio.sleep(0)
    assert (growth.durable, reader.done()) == (0, False)
    disk.go.set()
    assert await reader == 10
    assert await growth.beyond(10) == 25
    assert disk.synced == 2
    growth.cut()


async def test_many_readers_share_one_sync(tmp_path):
    disk = Disk()
    growth = Growth(disk)
    readers = [asyncio.create_task(growth.beyond(0)) for _ in range(20)]
    growth.grown(tmp_path / "a", 10)
    assert set(await asyncio.gather(*readers)) == {10}
    assert disk.synced == 1
    growth.cut()


async def test_what_nobody_reads_along_is_synced_when_much_of_it_is_not_on_disk(tmp_path):
    disk = Disk()
    growth = Growth(disk)
    for size in range(1, 50):
        growth.grown(tmp_path / "a", size)
        await asyncio.sleep(0)
    assert (growth.written, growth.durable, disk.synced) == (49, 0, 0)
    growth.grown(tmp_path / "a", BEHIND)
    await until(lambda: growth.durable == BEHIND)
    growth.grown(tmp_path / "a", BEHIND + 1)
    await asyncio.sleep(0)
    assert (growth.durable, disk.synced) == (BEHIND, 1)
    growth.grown(tmp_path / "a", BEHIND + 1, is_durable=True)
    await asyncio.sleep(0)
    assert growth.durable == BEHIND + 1
    growth.cut()


async def test_the_end_comes_with_the_jobs_good_end_not_with_the_last_byte(tmp_path):
    growth = Growth(Disk())
    growth.grown(tmp_path / "a", 10, is_durable=True)
    await asyncio.sleep(0)
    assert await growth.beyond(0) == 10
    reader = asyncio.create_task(growth.beyond(10))
    await asyncio.sleep(0)
    assert not reader.done()
    growth.finish()
    assert await reader == 10
    growth.cut()  # whatever comes later changes nothing
    assert await growth.beyond(10) == 10


async def test_whoever_waits_hears_that_there_will_be_no_archive():
    growth = Growth(Disk())
    reader, watcher = asyncio.create_task(growth.beyond(0)), asyncio.create_task(growth.lost())
    await asyncio.sleep(0)
    growth.cut()
    await watcher
    with pytest.raises(LostError):
        await reader


async def test_a_disk_that_cannot_sync_is_no_archive(tmp_path):
    def broken(_path):
        raise OSError

    growth = Growth(broken)
    growth.grown(tmp_path / "a", 10)
    with pytest.raises(LostError):
        await growth.beyond(0)


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_a_job_that_has_ended_is_no_longer_growing(status):
    growths = Growths()
    facts = {"log": "l", "making": "m", "project": "p", "user": "u", "options": {}, "project_name": "n"}
    record = JobRecord(id="j", **facts, correlation="c", created=0.0)
    growths.note(record)
    growth = growths.find("j")
    assert growth is growths.of("j")
    growths.note(JobRecord(id="j", **facts, correlation="c", created=0.0, status=status))
    assert growths.find("j") is None
    if status is Status.COMPLETED:
        assert await growth.beyond(0) == 0
    else:
        with pytest.raises(LostError):
            await growth.beyond(0)
