"""What every crew must do, whoever its workers are: work that is done elsewhere, and an end at once."""

import asyncio
import os

import pytest

from exportctl.server.crew import ProcessCrew
from server import pool_tasks
from server.pooling import appears

CREWS = {"processes": ProcessCrew}
"""By name: makes a crew of so many workers. A second kind is tested by one line here."""
PATIENCE = 30


@pytest.fixture(params=CREWS)
async def crew(request):
    crew = CREWS[request.param](2)
    await asyncio.to_thread(crew.start)
    yield crew
    crew.kill()
    assert await asyncio.to_thread(crew.is_gone, PATIENCE)


def submitted(crew, *task):
    return asyncio.wrap_future(crew.executor.submit(*task))


async def test_work_is_done_elsewhere_and_brings_back_what_it_made_or_why_not(crew):
    assert await asyncio.gather(*(submitted(crew, pool_tasks.square, n) for n in range(5))) == [0, 1, 4, 9, 16]
    assert await submitted(crew, pool_tasks.own_pid) != os.getpid()
    with pytest.raises(ValueError, match="as it was said"):
        await submitted(crew, pool_tasks.fail, "as it was said")
    assert not crew.is_lost()


async def test_workers_are_ended_at_once_in_the_midst_of_their_work(crew, tmp_path):
    assert not crew.is_gone(0)
    crew.executor.submit(pool_tasks.mark_and_wait_for, tmp_path / "begun", tmp_path / "never")
    await appears(tmp_path / "begun")
    crew.kill()
    assert await asyncio.to_thread(crew.is_gone, PATIENCE)


async def test_a_worker_that_dies_by_itself_is_missed(crew):
    crew.executor.submit(pool_tasks.die)
    async with asyncio.timeout(PATIENCE):
        while not crew.is_lost():  # noqa: ASYNC110 - other processes set no asyncio.Event
            await asyncio.sleep(0.002)
