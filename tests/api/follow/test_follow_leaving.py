"""Leaving a job: by cancelling it, by an error of ours, by the end of the command."""

import asyncio

import pytest

from exportctl.protocol.events import Cancelled
from follow_peer import JOB, PROJECT, end_of, following, history
from waiting import until


@pytest.mark.parametrize("takes_sockets", [True, False])
async def test_a_cancellation_goes_by_socket_and_by_http_where_that_is_down(peer, bench, takes_sockets):
    peer.takes_sockets = takes_sockets
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await follower.cancel(watch, "SIGINT")
        await peer.grow(*history("export:cancelled"))
        job = await end_of(watch)
    assert isinstance(job.end, Cancelled)
    assert peer.cancels == [("socket" if takes_sockets else "http", "SIGINT")]


async def test_leaving_in_the_middle_ends_every_task_and_raises_what_was_raised(peer, bench):
    watches = []

    async def body():
        async with following(peer, bench) as follower:
            await follower.connected()
            watches.append(follower.watch(PROJECT, JOB))
            await until(lambda: peer.subscriptions)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await body()
    assert watches[0].ended.cancelled()


async def test_a_command_that_is_cancelled_ends_as_cancelled(peer, bench):
    async def body():
        async with following(peer, bench) as follower:
            await end_of(follower.watch(PROJECT, JOB))

    task = asyncio.create_task(body())
    await until(lambda: peer.subscriptions or peer.polls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
