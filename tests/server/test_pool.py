"""The pool, with real worker processes: fairness, taking work back, and workers that die."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from exportctl.server.pool import Pool, WithdrawnError, WorkerDiedError
from server import pool_tasks
from server.pooling import HeldCrew, appears, settled, share, vanishes


@pytest.fixture
async def pool():
    pool = Pool(2, grace=0.2)
    yield pool
    await pool.close()


async def test_tasks_run_in_other_processes_and_bring_back_results_and_errors(pool, gate):
    assert await asyncio.gather(*(pool.run(share("a", gate), pool_tasks.square, n) for n in range(50))) == [
        n * n for n in range(50)
    ]
    assert await pool.run(share("a", gate), pool_tasks.own_pid) != os.getpid()
    with pytest.raises(ValueError, match="as it was said"):
        await pool.run(share("a", gate), pool_tasks.fail, "as it was said")


async def test_at_most_twice_the_workers_are_out_at_once_and_jobs_take_turns(gate):
    crew = HeldCrew(2)
    pool = Pool(2, make_crew=lambda _: crew)
    await pool.warm()
    order = []
    tasks = [asyncio.create_task(pool.run(share("long", gate), order.append, f"long {n}")) for n in range(8)]
    await settled()
    tasks += [asyncio.create_task(pool.run(share("short", gate), order.append, f"short {n}")) for n in range(2)]
    await settled()
    for done in range(10):
        assert len(crew.submitted) - done == min(4, 10 - done)
        await crew.run(done)
    await asyncio.gather(*tasks)
    assert order[:4] == ["long 0", "long 1", "long 2", "long 3"]
    assert order[4:8] == ["long 4", "short 0", "long 5", "short 1"], "the short job does not wait for the long one"


async def test_users_take_turns_whatever_the_number_of_their_jobs(gate):
    crew = HeldCrew(1)
    pool = Pool(1, make_crew=lambda _: crew)
    await pool.warm()
    order = []
    tasks = [
        asyncio.create_task(pool.run(share(f"job {job}", gate), order.append, f"ana {job}{n}"))
        for job in range(3)
        for n in range(2)
    ]
    await settled()
    tasks += [asyncio.create_task(pool.run(share("one", gate, "ben"), order.append, f"ben {n}")) for n in range(3)]
    for done in range(9):
        await settled()
        await crew.run(done)
    await asyncio.gather(*tasks)
    assert order[2:8] == ["ana 10", "ben 0", "ana 20", "ben 1", "ana 11", "ben 2"]


async def test_any_executor_will_do(gate):
    class Threads(HeldCrew):
        def __init__(self, workers):
            super().__init__(workers)
            self.executor = ThreadPoolExecutor(workers)

        def kill(self):
            self.executor.shutdown()

    pool = Pool(1, make_crew=Threads)
    assert await pool.run(share("a", gate), pool_tasks.square, 7) == 49
    await pool.close()


async def test_no_task_begins_once_the_gate_is_gone(pool, gate, tmp_path):
    began, until = tmp_path / "began", tmp_path / "until"
    holding = [
        asyncio.create_task(pool.run(share("a", gate), pool_tasks.mark_and_wait_for, f"{began}{n}", str(until)))
        for n in range(2)
    ]
    for n in range(2):
        await appears(tmp_path / f"began{n}")
    lines = tmp_path / "lines"
    behind = [asyncio.create_task(pool.run(share("a", gate), pool_tasks.append_line, str(lines), n)) for n in range(6)]
    await asyncio.sleep(0)
    gate.unlink()
    until.touch()
    ends = await asyncio.gather(*holding, *behind, return_exceptions=True)
    assert ends[:2] == ["finished", "finished"]
    assert all(isinstance(end, WithdrawnError) for end in ends[2:])
    assert not lines.exists()


async def test_a_cancelled_jobs_long_task_loses_its_process_and_other_jobs_lose_nothing(pool, gate, tmp_path):
    other_gate = tmp_path / "other"
    other_gate.touch()
    began, until = tmp_path / "began", tmp_path / "until"
    long = asyncio.create_task(
        pool.run(share("long", gate), pool_tasks.mark_and_wait_for, str(began), str(tmp_path / "never"))
    )
    other = asyncio.create_task(
        pool.run(share("other", other_gate), pool_tasks.mark_and_wait_for, str(tmp_path / "other-began"), str(until))
    )
    await appears(began)
    await appears(tmp_path / "other-began")
    more = [asyncio.create_task(pool.run(share("other", other_gate), pool_tasks.square, n)) for n in range(10)]

    gate.unlink()
    long.cancel()
    await pool.cancel(share("long", gate))  # returns while the other job's task waits: it does not wait for it
    until.touch()
    assert await other == "finished"
    assert await asyncio.gather(*more) == [n * n for n in range(10)]
    assert long.cancelled() or (await asyncio.gather(long, return_exceptions=True))


async def test_a_cancelled_jobs_short_task_is_waited_for_and_no_process_is_lost(gate, tmp_path):
    pool = Pool(1, grace=30)
    pid = await pool.run(share("a", gate), pool_tasks.own_pid)
    began, until = tmp_path / "began", tmp_path / "until"
    task = asyncio.create_task(pool.run(share("a", gate), pool_tasks.mark_and_wait_for, str(began), str(until)))
    await appears(began)
    gate.unlink()
    task.cancel()
    cancelling = asyncio.create_task(pool.cancel(share("a", gate)))
    until.touch()
    await cancelling
    gate.touch()
    assert await pool.run(share("b", gate), pool_tasks.own_pid) == pid
    await pool.close()


async def test_a_task_whose_worker_dies_is_run_again_and_so_are_its_neighbours(pool, gate, tmp_path):
    results = await asyncio.gather(
        *(pool.run(share("a", gate), pool_tasks.square, n) for n in range(20)),
        pool.run(share("a", gate), pool_tasks.die_once, str(tmp_path / "mark")),
        *(pool.run(share("b", gate), pool_tasks.square, n) for n in range(20)),
    )
    assert results == [n * n for n in range(20)] + ["second time"] + [n * n for n in range(20)]


async def test_a_task_that_kills_its_worker_every_time_fails_alone(pool, gate):
    ends = await asyncio.gather(
        *(pool.run(share("a", gate), pool_tasks.square, n) for n in range(10)),
        pool.run(share("a", gate), pool_tasks.die),
        *(pool.run(share("a", gate), pool_tasks.square, n) for n in range(10)),
        return_exceptions=True,
    )
    assert isinstance(ends.pop(10), WorkerDiedError)
    assert ends == [n * n for n in range(10)] * 2


async def test_a_worker_killed_from_outside_costs_nothing_but_time(pool, gate, tmp_path):
    pid = await pool.run(share("a", gate), pool_tasks.own_pid)
    began, until = tmp_path / "began", tmp_path / "until"
    tasks = [
        asyncio.create_task(pool.run(share("a", gate), pool_tasks.mark_and_wait_for, f"{began}{n}", str(until)))
        for n in range(2)
    ]
    for n in range(2):
        await appears(tmp_path / f"began{n}")
    os.kill(pid, signal.SIGKILL)
    until.touch()
    assert await asyncio.gather(*tasks) == ["finished", "finished"]


async def test_closing_ends_the_workers_whatever_they_do(gate, tmp_path):
    pool = Pool(1)
    pid = await pool.run(share("a", gate), pool_tasks.own_pid)
    began = tmp_path / "began"
    task = asyncio.create_task(
        pool.run(share("a", gate), pool_tasks.mark_and_wait_for, str(began), str(tmp_path / "never"))
    )
    await appears(began)
    await pool.close()
    await vanishes(pid)
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
