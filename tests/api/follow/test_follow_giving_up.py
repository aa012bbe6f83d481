"""What cannot be followed: a server that is away for too long, a job that is not there, a sign-in that is refused."""

import pytest
from starlette.responses import HTMLResponse, JSONResponse

from exportctl.client import follow as follow_module
from exportctl.client.desk import LONGEST_WAIT, OUTAGE_SECONDS, PAGE_SECONDS
from exportctl.model.errors import NotAllowed, NotFound, Unreachable
from follow_peer import JOB, PROJECT, WHOLE, Peer, end_of, following
from waiting import until


async def test_the_socket_alone_is_given_up_after_the_longest_outage(peer, bench):
    peer.takes_sockets = False
    async with following(peer, bench, transport="socket") as follower:
        watch = follower.watch(PROJECT, JOB)
        with pytest.raises(Unreachable):
            await end_of(watch)
    assert bench.now >= OUTAGE_SECONDS
    assert max(bench.slept) <= 30


async def test_a_server_that_fails_every_poll_is_given_up_after_the_longest_outage(peer, bench):
    peer.takes_sockets, peer.http_status = False, 503
    async with following(peer, bench, transport="polling", poll_interval=10.0) as follower:
        watch = follower.watch(PROJECT, JOB)
        with pytest.raises(Unreachable):
            await end_of(watch)
    assert OUTAGE_SECONDS <= bench.now <= OUTAGE_SECONDS + 30
    assert len(peer.polls) > 5


async def test_a_page_in_place_of_the_log_is_given_up_sooner_and_told_at_once(peer, bench):
    peer.http_status = 0  # nothing of the log
    peer.answer = lambda _body: HTMLResponse("<html>Welcome to the clinic's portal</html>")
    async with following(peer, bench, transport="polling", poll_interval=4.0) as follower:
        watch = follower.watch(PROJECT, JOB)
        with pytest.raises(Unreachable, match="where JSON was due"):
            await end_of(watch)
    assert PAGE_SECONDS <= bench.now <= PAGE_SECONDS + 10
    assert [(line.state, line.reason) for line in bench.lines[1:]] == [
        ("reconnecting", f"{peer.url} answered text/html; charset=utf-8 where JSON was due")
    ]


@pytest.mark.parametrize("status", [429, 503])
async def test_whatever_wait_a_server_asks_for_the_next_poll_is_no_hour_away(peer, bench, status):
    def answer(_body):
        return JSONResponse({"error": "not now"}, status, headers={"Retry-After": "86400"})

    async with following(peer, bench, transport="polling") as follower:
        usual, peer.answer, peer.http_status = peer.answer, answer, status
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: bench.slept)
        peer.answer, peer.http_status = usual, 200
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.slept[0] == LONGEST_WAIT
    assert [line.state for line in bench.lines if line.event == "connection:changed"] == [
        "polling",
        "reconnecting",
        "polling",
    ]
    assert bench.lines[1].retry_in == LONGEST_WAIT


async def test_an_outage_that_ends_in_time_is_only_a_wait(peer, bench):
    peer.http_status = 502
    async with following(peer, bench, transport="polling") as follower:
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: len(bench.slept) >= 3)
        peer.http_status = 200
        await peer.grow(*WHOLE)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_a_job_that_is_not_there_ends_the_following_with_not_found(peer, bench, transport):
    peer.refusal = {"ok": False, "code": "JOB_NOT_FOUND", "error": "No such export job"}
    peer.http_status = 404
    async with following(peer, bench, transport=transport) as follower:
        await follower.connected()
        with pytest.raises(NotFound):
            await end_of(follower.watch(PROJECT, JOB))


async def test_a_refused_sign_in_is_not_tried_again(peer, bench):
    async with following(peer, bench, token="wrong") as follower:
        with pytest.raises(NotAllowed) as caught:
            await follower.connected()
    assert caught.value.exit_status == 4
    assert "wrong" not in caught.value.message
    assert bench.slept == []


async def test_a_sign_in_refused_on_the_way_ends_every_following(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        peer.refuses_sign_in = True
        await peer.hang_up()
        with pytest.raises(NotAllowed):
            await end_of(watch)


async def test_no_server_at_all_is_polling_until_the_outage_is_too_long(bench):
    peer = Peer(url="http://127.0.0.1:9")
    async with following(peer, bench) as follower:
        await follower.connected()
        with pytest.raises(Unreachable):
            await end_of(follower.watch(PROJECT, JOB))
    assert bench.connections()[0] == "polling"


def test_the_waits_between_attempts_begin_short_and_are_bounded():
    assert (follow_module._RETRY_FIRST, follow_module._RETRY_MOST) == (0.5, 30.0)
