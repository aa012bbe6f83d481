"""The pool, of workers that hang, die unnoticed, are orphaned, or do not start."""

import asyncio
import multiprocessing.forkserver
import os
import signal

import pytest

from exportctl.server import crews
from exportctl.server.pool import Pool, TaskTooLongError, WorkerDiedError
from server import pool_tasks
from server.pooling import HeldCrew, appears, holds, settled, share, vanishes

FOR_EVER = 10**6


@pytest.fixture
def made():
    """Crews in the order of their making."""
    return []


@pytest.fixture
async def held(made):
    """Make a pool whose crews run nothing until they are told to."""
    pools = []

    def make(workers):
        def crew(workers):
            made.append(HeldCrew(workers))
            return made[-1]

        pools.append(Pool(workers, grace=0.01, make_crew=crew))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


async def begun(pool, gate, tmp_path, count=2):
    """Have so many tasks run until the file `until` appears; returns them when they have begun."""
    until = str(tmp_path / "until")
    tasks = [
        asyncio.create_task(
            pool.run(share("other", gate), pool_tasks.mark_and_wait_for, str(tmp_path / f"began{n}"), until)
        )
        for n in range(count)
    ]
    for n in range(count):
        await appears(tmp_path / f"began{n}")
    return tasks


async def test_a_tasks_time_is_that_of_its_running_and_not_of_its_wait(held, made, gate):
    pool = held(1)
    await pool.warm()
    tasks = [asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, n, limit=100)) for n in range(3)]
    await settled()
    for number in range(3):
        pool.look(60)
        await made[0].run(number)
    assert await asyncio.gather(*tasks) == [0, 1, 4]
    assert len(made) == 1


async def test_a_task_that_takes_too_long_ends_alone_and_those_beside_and_behind_it_are_done(held, made, gate):
    pool = held(2)
    await pool.warm()
    long = asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, 1, limit=100))
    others = [asyncio.create_task(pool.run(share("b", gate, "ben"), pool_tasks.square, n)) for n in range(5)]
    await settled()
    pool.look(60)
    pool.look(60)
    assert made[0].killed
    with pytest.raises(TaskTooLongError) as told:
        await long
    assert told.value.limit == 100
    await holds(lambda: len(made) == 2 and len(made[1].submitted) == 4)
    for number in range(5):
        await made[1].run(number)
    assert await asyncio.gather(*others) == [0, 1, 4, 9, 16]
    assert pool.counts()["lost"] == 0


async def test_a_task_that_is_done_again_has_its_whole_time_again(held, made, gate):
    pool = held(1)
    await pool.warm()
    task = asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, 3, limit=100))
    await settled()
    pool.look(60)
    made[0].lost = True
    pool.look(1)
    await holds(lambda: len(made) == 2 and made[1].submitted)
    pool.look(60)
    await made[1].run(0)
    assert await task == 9


async def test_the_process_of_an_endless_task_ends_and_its_neighbour_is_run_again(gate, tmp_path):
    pool = Pool(2)
    pid = await pool.run(share("a", gate), pool_tasks.own_pid)
    endless = asyncio.create_task(
        pool.run(
            share("a", gate), pool_tasks.mark_and_wait_for, str(tmp_path / "endless"), str(tmp_path / "never"), limit=5
        )
    )
    await appears(tmp_path / "endless")
    [other] = await begun(pool, gate, tmp_path, 1)
    pool.look(6)
    with pytest.raises(TaskTooLongError):
        await endless
    await vanishes(pid)
    (tmp_path / "until").touch()
    assert await other == "finished"
    await pool.close()


async def test_workers_that_die_while_nothing_is_done_are_replaced_before_the_next_task(gate):
    pool = Pool(2)
    pid = await pool.run(share("a", gate), pool_tasks.own_pid)
    assert pool.trouble() == ""
    os.kill(pid, signal.SIGKILL)
    await holds(pool.trouble)
    assert pool.trouble() == "workers were lost"
    pool.look(1)
    assert pool.trouble() == "workers were lost"
    await holds(lambda: not pool.trouble())
    assert pool.counts()["lost"] == 1
    assert await pool.run(share("a", gate), pool_tasks.square, 5) == 25
    await pool.close()


async def test_a_worker_that_dies_in_the_middle_of_its_answer_leaves_nobody_waiting_for_the_rest(gate, tmp_path):
    pool = Pool(2)
    watching = asyncio.create_task(pool.watch())
    answer = pool.run(share("a", gate), pool_tasks.die_in_half_an_answer, str(tmp_path / "mark"))
    async with asyncio.timeout(60):
        assert await answer == b"second time"
    watching.cancel()
    await pool.close()


async def test_workers_whose_forking_process_is_killed_end_before_their_tasks_are_done_again(gate, tmp_path):
    pool = Pool(2)
    pids = {await pool.run(share("a", gate), pool_tasks.own_pid)}
    tasks = await begun(pool, gate, tmp_path)
    pids |= {process.pid for process in multiprocessing.active_children()}
    os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    for pid in pids:
        await vanishes(pid)
    (tmp_path / "until").touch()
    assert await asyncio.gather(*tasks) == ["finished"] * 2
    assert await pool.run(share("a", gate), pool_tasks.own_pid) not in pids
    await pool.close()


async def test_workers_that_cannot_be_started_are_tried_again_and_the_tasks_wait(held, made, gate, monkeypatch):
    monkeypatch.setattr(crews, "_PAUSES", (0,))
    faults = [OSError(11, "Resource temporarily unavailable"), EOFError()]
    seen = []

    def start(_crew):
        if faults:
            raise faults.pop(0)
        seen.append(pool.trouble())

    monkeypatch.setattr(HeldCrew, "start", start)
    pool = held(1)
    task = asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, 4))
    await holds(lambda: len(made) == 3 and made[2].submitted)
    assert [crew.killed for crew in made] == [True, True, False]
    assert seen == ["workers cannot be started: EOFError"]
    assert pool.trouble() == ""
    await made[2].run(0)
    assert await task == 16


async def test_a_pool_whose_workers_do_not_come_says_so(held):
    pool = held(1)
    assert pool.trouble() == ""
    pool.look(60)
    assert pool.trouble() == "workers do not start"
    await pool.warm()
    assert pool.trouble() == ""


async def test_a_task_that_dies_twice_unnoticed_is_named(held, made, gate):
    pool = held(1)
    await pool.warm()
    task = asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, 3))
    for number in range(2):
        await holds(lambda: len(made) > number and made[number].submitted)  # noqa: B023 - it is asked at once
        made[number].lost = True
        pool.look(1)
    with pytest.raises(WorkerDiedError):
        await task


async def test_a_pool_ends_while_its_workers_cannot_be_started(held, monkeypatch):
    def start(_crew):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(HeldCrew, "start", start)
    pool = held(1)
    warming = asyncio.create_task(pool.warm())
    await holds(pool.trouble)
    await pool.close()
    await warming


async def test_a_cancelled_job_whose_tasks_only_wait_costs_nobody_the_workers(held, made, gate, tmp_path):
    pool = held(1)
    await pool.warm()
    long = asyncio.create_task(pool.run(share("a", gate), pool_tasks.square, 3))
    await settled()
    theirs = tmp_path / "theirs"
    waiting = asyncio.create_task(pool.run(share("b", theirs, "ben"), pool_tasks.square, 4))
    await settled()
    waiting.cancel()
    await pool.cancel(share("b", theirs, "ben"))
    assert not made[0].killed
    assert len(made[0].submitted) == 2
    await made[0].run(0)
    assert await long == 9
