"""Many jobs on one socket: each has a story of its own, and few requests are under way at a time."""

import pytest

from exportctl.client.desk import AT_ONCE
from exportctl.protocol.events import Completed
from follow_peer import JOB, PROJECT, WHOLE, end_of, following
from waiting import until


async def test_another_jobs_events_are_none_of_ours(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        for name, data in WHOLE:
            await peer.sio.emit(name, data | {"jobId": "another"})
        for name in ("export:history", "system-message", "export:nonsense"):
            await peer.sio.emit(name, {"job": {}})
        await peer.sio.emit("export:progress", None)
        await peer.sio.emit("export:progress")
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert {line.job_id for line in bench.lines if line.event.startswith("export:")} == {JOB}


async def test_two_jobs_on_one_socket_have_a_story_each(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        first = follower.watch(PROJECT, JOB)
        second = follower.watch(PROJECT, "another")
        await until(lambda: len(peer.subscriptions) == 2)
        for name, data in WHOLE:
            await peer.sio.emit(name, data)
            await peer.sio.emit(name, data | {"jobId": "another"})
        await end_of(first)
        await end_of(second)
    for job_id in (JOB, "another"):
        told = [line.server_seq for line in bench.lines if line.job_id == job_id and getattr(line, "server_seq", None)]
        assert told == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("takes_sockets", [True, False], ids=["by socket", "by polls"])
async def test_many_jobs_are_followed_with_few_requests_at_a_time(peer, bench, takes_sockets):
    peer.takes_sockets = takes_sockets
    jobs = [f"job-{at}" for at in range(100)]
    async with following(peer, bench) as follower:
        await follower.connected()
        watches = [follower.watch(PROJECT, job) for job in jobs]
        await until(lambda: len(peer.subscriptions if takes_sockets else peer.polls) >= 100)
        for job in jobs:
            for name, data in WHOLE:
                await peer.sio.emit(name, data | {"jobId": job})
        if takes_sockets:
            ends = [await end_of(watch) for watch in watches]
            assert all(isinstance(job.end, Completed) for job in ends)
            assert len(peer.sids) == 1
    assert peer.most_at_once <= 2 * AT_ONCE


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_a_job_that_is_asked_for_twice_is_followed_once(peer, bench, transport):
    peer.log = WHOLE[:3]
    async with following(peer, bench, transport=transport) as follower:
        await follower.connected()
        first = follower.watch(PROJECT, JOB)
        second = follower.watch(PROJECT, JOB)
        await until(lambda: bench.numbers() == [1, 2, 3])
        async with peer.grown:
            peer.log = WHOLE
            peer.grown.notify_all()
        for name, data in WHOLE[3:]:
            await peer.sio.emit(name, data)
        assert await end_of(first) is await end_of(second)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
