"""A machine that slept: its connections may be dead, and nothing that was far off is waited for."""

import asyncio
from dataclasses import dataclass

import pytest

from exportctl.client import follow as follow_module
from exportctl.client.waiting import Slumber
from follow_peer import JOB, PROJECT, WHOLE, end_of, following
from waiting import until


@dataclass
class Clocks:
    """The two clocks of a machine that sleeps when it is told to: one stands still meanwhile."""

    wall: float = 1000.0
    monotonic: float = 10.0

    def sleep(self):
        self.wall += 3600

    def slumber(self):
        return Slumber(wall=lambda: self.wall, monotonic=lambda: self.monotonic)


@pytest.fixture
def clocks(monkeypatch):
    monkeypatch.setattr(follow_module, "LOOK_SECONDS", 0.01)
    return Clocks()


async def test_a_machine_that_slept_leaves_its_socket_and_opens_another_at_once(peer, bench, clocks):
    async with following(peer, bench, slumber=clocks.slumber()) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        clocks.sleep()
        await until(lambda: len(peer.subscriptions) == 2)
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    _, lost, _ = [line for line in bench.lines if line.event == "connection:changed"]
    assert (lost.reason, lost.retry_in) == ("this machine slept", 0.0)


async def test_a_machine_that_slept_waits_for_no_attempt_that_was_far_off(peer, bench, clocks):
    peer.takes_sockets = False
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        await asyncio.Event().wait()

    bench.sleep = sleep
    async with following(peer, bench, slumber=clocks.slumber()) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: waits)
        peer.takes_sockets = True
        clocks.sleep()
        await until(lambda: peer.subscriptions)
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


async def test_a_machine_that_slept_asks_anew_what_was_asked_before(peer, bench, clocks):
    """The connection of a poll that is held may be dead: nothing would ever come of it."""
    async with following(peer, bench, slumber=clocks.slumber(), transport="polling") as follower:
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.polls)
        clocks.sleep()
        await until(lambda: len(peer.polls) == 2)
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
