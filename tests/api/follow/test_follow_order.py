"""Whatever becomes of single events, a job's story is told whole, once, in order, and comes to its end."""

import pytest

from exportctl.protocol.events import Cancelled, Completed, Failed
from follow_peer import JOB, NAMES, PROJECT, WHOLE, end_of, following, history
from waiting import until


async def test_a_job_is_told_live_from_its_start_to_its_end(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        for event in WHOLE:
            await peer.grow(event)
        job = await end_of(watch)
    assert isinstance(job.end, Completed)
    assert bench.names() == NAMES
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.connections() == ["connected"]
    assert peer.polls == []
    assert job.archive.sha256 == "ab"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("export:completed", Completed), ("export:failed", Failed), ("export:cancelled", Cancelled)],
)
async def test_every_end_ends_the_following(peer, bench, name, kind):
    peer.log = history(name)
    async with following(peer, bench) as follower:
        job = await end_of(follower.watch(PROJECT, JOB))
    assert isinstance(job.end, kind)
    assert bench.names()[-1] == name


async def test_events_from_before_the_subscription_are_replayed_and_say_so(peer, bench):
    peer.log = WHOLE[:3]
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: len(bench.numbers()) == 3)
        for event in WHOLE[3:]:
            await peer.grow(event)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.sources() == ["replay"] * 3 + ["socket"] * 3


async def test_news_of_the_state_move_nothing_ahead_of_the_replay(peer, bench):
    peer.log = WHOLE[:2]
    async with following(peer, bench) as follower:
        await follower.connected()
        follower.watch(PROJECT, JOB)
        await until(lambda: len(bench.numbers()) == 2)
    sync = next(at for at, line in enumerate(bench.lines) if line.event == "export:status-sync")
    assert bench.lines[sync].progress == 99
    assert [line.progress for line in bench.lines[sync + 1 :] if line.event == "export:progress"] == [25.0]


async def test_what_comes_twice_is_told_once_and_counted(peer, bench):
    peer.repeats = 2
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions and not watch.is_subscribing)  # else its replay repeats them too
        for event in WHOLE:
            await peer.grow(event)
        await end_of(watch)
        assert watch.sequencer.duplicates == 5  # the sixth is the end: nothing is heard behind it
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("withheld", [{1}, {3}, {2, 3, 5}, {1, 2, 3, 4, 5}])
async def test_a_gap_is_filled_from_the_log_before_what_lies_behind_it(peer, bench, withheld):
    peer.withholds = withheld
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        for event in WHOLE:
            await peer.grow(event)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert peer.polls
    assert all(poll["wait"] == "0" for poll in peer.polls)


async def test_a_heartbeat_that_knows_more_fetches_what_never_came(peer, bench):
    peer.withholds = {1, 2, 3, 4, 5, 6}
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        await peer.grow(*WHOLE)
        await peer.sio.emit("export:heartbeat", {"jobId": JOB, "lastSeq": 6})
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


async def test_an_event_of_a_newer_server_holds_up_nothing(peer, bench):
    log = history()
    log[2] = ("export:paused", log[2][1])
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        await peer.grow(*log)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 4, 5, 6]
    assert peer.polls == []


async def test_following_from_a_number_tells_only_what_lies_behind_it(peer, bench):
    peer.log = WHOLE
    async with following(peer, bench) as follower:
        await follower.connected()
        await end_of(follower.watch(PROJECT, JOB, after=4))
    assert bench.numbers() == [5, 6]


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_following_from_the_very_end_of_a_job_ends_at_once_and_tells_nothing_again(peer, bench, transport):
    peer.log = history("export:failed")
    async with following(peer, bench, transport=transport) as follower:
        await follower.connected()
        job = await end_of(follower.watch(PROJECT, JOB, after=6))
    assert isinstance(job.end, Failed)
    assert bench.numbers() == []


@pytest.mark.parametrize("transport", ["auto", "polling"])
async def test_a_number_that_the_log_never_reached_is_said_and_all_is_told(peer, bench, transport):
    peer.log = WHOLE
    async with following(peer, bench, transport=transport) as follower:
        await follower.connected()
        job = await end_of(follower.watch(PROJECT, JOB, after=999))
    assert isinstance(job.end, Completed)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert [line.code for line in bench.lines if line.event == "log"] == ["log-gap"]


async def test_another_log_after_a_reconnection_is_told_from_its_start(peer, bench):
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.subscriptions)
        await peer.grow(*WHOLE[:4])
        await until(lambda: len(bench.numbers()) == 4)
        peer.log, peer.log_id = WHOLE[:2], "log-2"
        await peer.hang_up()
        await until(lambda: len(peer.subscriptions) == 2)
        await until(lambda: len(bench.numbers()) == 6)
        await peer.grow(*WHOLE[2:])
        job = await end_of(watch)
    assert isinstance(job.end, Completed)
    assert bench.numbers() == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]
    assert [line.code for line in bench.lines if line.event == "log"] == ["log-gap"]
