"""Polling makes up for a socket that is refused, lost or mute, and stops when it is back; or it is all that is used."""

import pytest

from exportctl.client import calls as calls_module
from follow_peer import JOB, PROJECT, WHOLE, end_of, following
from waiting import until


async def test_a_socket_that_is_refused_is_made_up_for_by_polling_and_polling_stops_when_it_is_back(peer, bench):
    peer.takes_sockets = False
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await peer.grow(*WHOLE[:3], live=False)
        await until(lambda: len(bench.numbers()) == 3)
        peer.takes_sockets = True
        await until(lambda: peer.subscriptions)
        assert peer.subscriptions[0] == {"jobId": JOB, "after": 3, "log": "log-1"}
        await until(lambda: watch.poller is None and not watch.is_subscribing)
        polled = len(peer.polls)
        for event in WHOLE[3:]:
            await peer.grow(event)
        await end_of(watch)
        assert len(peer.polls) == polled
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.sources() == ["poll"] * 3 + ["socket"] * 3
    assert bench.connections()[0] == "polling"
    assert bench.connections()[-1] == "connected"
    assert peer.polls[0]["wait"] == "25"


async def test_a_socket_lost_in_the_middle_loses_nothing(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        await peer.grow(*WHOLE[:2])
        await until(lambda: len(bench.numbers()) == 2)
        await peer.hang_up()
        await peer.grow(*WHOLE[2:4], live=False)
        await until(lambda: len(peer.subscriptions) == 2)
        await peer.grow(*WHOLE[4:])
        await end_of(watch)
        assert follower.reconnects == 1
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.connections() == ["connected", "polling", "connected"]
    lost = next(line for line in bench.lines if line.event == "connection:changed" and line.state == "polling")
    assert lost.reason == "the server closed the socket"
    assert lost.attempt == 1
    assert lost.retry_in == pytest.approx(0.5 * 0.75, abs=0.1)


async def test_polling_alone_follows_a_job_without_a_socket(peer, bench):
    async with following(peer, bench, transport="polling") as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        for event in WHOLE:
            await peer.grow(event, live=False)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.connections() == ["polling"]
    assert peer.sids == []


async def test_a_server_that_does_not_hold_polls_back_is_asked_at_the_interval_only(peer, bench):
    peer.holds = False
    async with following(peer, bench, transport="polling", poll_interval=7.0) as follower:
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: len(bench.slept) >= 3)
        assert set(bench.slept) == {7.0}
        assert len(peer.polls) <= len(bench.slept) + 1
        await peer.grow(*WHOLE)
        await end_of(watch)


async def test_the_socket_alone_is_never_replaced_by_polling(peer, bench):
    peer.takes_sockets = False
    async with following(peer, bench, transport="socket") as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: len(bench.slept) >= 2)
        peer.takes_sockets = True
        await until(lambda: peer.subscriptions)
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert peer.polls == []
    assert "reconnecting" in bench.connections()
    assert bench.slept == sorted(bench.slept)


async def test_a_refusal_over_the_socket_that_http_does_not_share_ends_nothing(peer, bench):
    peer.refusal = {"ok": False, "code": "TOO_MANY_CALLS", "error": "8 calls are being worked on already"}
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.polls)
        await peer.grow(*WHOLE, live=False)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


async def test_a_socket_mute_about_a_job_is_made_up_for_by_polling(peer, bench, monkeypatch):
    monkeypatch.setattr(calls_module, "ACKNOWLEDGE_SECONDS", 0.05)
    peer.is_mute = True
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.polls)
        await peer.grow(*WHOLE, live=False)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.connections() == ["connected"]
