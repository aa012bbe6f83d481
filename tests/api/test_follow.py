"""Following jobs: whatever becomes of the socket, a job's story is told whole, once, in order, and comes to its end.

The peer is a real python-socketio server on loopback, in the test's own loop; it speaks the small part of protocol 2
that a follower needs, and can be told to withhold, repeat, refuse and hang up.
"""

import asyncio
import contextlib
import socket as sockets
from dataclasses import dataclass, field

import pytest
import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from exportctl.client import calls as calls_module
from exportctl.client import follow as follow_module
from exportctl.client.api import Api
from exportctl.client.desk import AT_ONCE, LONGEST_WAIT, PAGE_SECONDS
from exportctl.client.follow import OUTAGE_SECONDS, Follower
from exportctl.client.http import Server, open_client
from exportctl.client.waiting import Slumber
from exportctl.model.errors import NotAllowed, NotFound, Unreachable
from exportctl.protocol.events import Cancelled, Completed, Failed
from waiting import PATIENCE, until

JOB, PROJECT, TOKEN = "job-0001", "nuclei", "secret-of-ana"


def history(end="export:completed", **more):
    told = [
        ("export:started", {"projectName": "Nuclei", "options": {}}),
        ("export:progress", {"phase": "processing", "stage": "images", "progress": 25}),
        ("export:progress", {"phase": "processing", "stage": "images", "progress": 75}),
        ("export:phase-changed", {"fromPhase": "processing", "toPhase": "downloading"}),
        ("export:download-ready", {"fileName": "n.zip", "fileSize": 9, "sha256": "ab"}),
        (end, {"warnings": [], "processingTime": 1.5, "error": "boom"} | more),
    ]
    return [
        (name, {"jobId": JOB, "projectId": PROJECT, "seq": seq, "correlationId": "c"} | data)
        for seq, (name, data) in enumerate(told, start=1)
    ]


WHOLE = history()
NAMES = [name for name, _ in WHOLE]


@dataclass
class Peer:
    """The server. `log` is what it holds of the job; `withholds` the numbers that no socket is told."""

    log: list = field(default_factory=list)
    log_id: str = "log-1"
    withholds: set = field(default_factory=set)
    repeats: int = 1
    takes_sockets: bool = True
    refuses_sign_in: bool = False
    is_mute: bool = False
    refusal: dict | None = None
    http_status: int = 200
    subscriptions: list = field(default_factory=list)
    polls: list = field(default_factory=list)
    cancels: list = field(default_factory=list)
    sids: list = field(default_factory=list)
    url: str = ""
    holds: bool = True
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self):
        self.grown, self.over = asyncio.Condition(), asyncio.Event()
        self.sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
        self.sio.on("connect", self.connect)
        self.sio.on("export:subscribe", self.subscribe)
        self.sio.on("export:cancel", self.cancel)
        routes = [
            Route("/api/projects/{project}/export/{job}/events", self.events),
            Route("/api/projects/{project}/export/{job}/cancel", self.cancel_by_http, methods=["POST"]),
        ]
        self.app = socketio.ASGIApp(self.sio, other_asgi_app=Starlette(routes=routes))

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket" and not self.takes_sockets:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)

    @property
    def status(self):
        ends = {"export:completed": "completed", "export:failed": "failed", "export:cancelled": "cancelled"}
        return ends.get(self.log[-1][0], "processing") if self.log else "pending"

    @property
    def last_seq(self):
        return self.log[-1][1]["seq"] if self.log else 0

    async def connect(self, sid, _environ, auth):
        if self.refuses_sign_in or (auth or {}).get("token") != TOKEN:
            raise socketio.exceptions.ConnectionRefusedError("Authentication failed")
        self.sids.append(sid)

    def _from(self, after, log):
        is_foreign = (log is not None and log != self.log_id) or after > self.last_seq
        return (0, True) if is_foreign else (after, False)

    async def subscribe(self, sid, data):
        self.subscriptions.append(data)
        if self.refusal is not None:
            return self.refusal
        if self.is_mute:
            await self.over.wait()
        after, gap = self._from(data["after"], data.get("log"))
        last = self.last_seq
        sync = {"jobId": data["jobId"], "status": self.status, "progress": 99, "lastSeq": last}
        await self.sio.emit("export:status-sync", sync, to=sid)
        await self.tell([one for one in self.log if one[1]["seq"] > after], to=sid)
        return {"ok": True, "protocol": 2, "log": self.log_id, "lastSeq": last, "status": self.status, "gap": gap}

    async def tell(self, events, *, to=None):
        for name, data in events:
            if data.get("seq") not in self.withholds:
                for _ in range(self.repeats):
                    await self.sio.emit(name, data, to=to)

    async def grow(self, *events, live=True):
        """Add to the log, then tell every socket."""
        async with self.grown:
            self.log += events
            self.grown.notify_all()
        if live:
            await self.tell(events)

    async def events(self, request):
        self.polls.append(dict(request.query_params))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.page(request)
        finally:
            self.at_once -= 1

    async def page(self, request):
        if self.http_status != 200:
            return self.answer({"success": False, "error": "no", "code": "X"})
        after, gap = self._from(int(request.query_params["after"]), request.query_params.get("log"))
        if int(request.query_params["wait"]) and self.holds:
            async with self.grown:
                await self.grown.wait_for(lambda: self.last_seq > after or self.status not in {"pending", "processing"})
        found = [{"event": name, "data": data} for name, data in self.log if data["seq"] > after]
        facts = {"log": self.log_id, "lastSeq": self.last_seq, "status": self.status, "gap": gap}
        return self.answer({"events": found} | facts)

    def answer(self, body):
        return JSONResponse(body, self.http_status, headers={"Export-Protocol": "2"})

    async def cancel(self, _sid, data):
        self.cancels.append(("socket", data["reason"]))
        return {"ok": True, "status": "cancelling"}

    async def cancel_by_http(self, request):
        self.cancels.append(("http", (await request.json())["reason"]))
        return self.answer({"success": True})

    async def hang_up(self):
        sids, self.sids = self.sids, []
        for sid in sids:
            await self.sio.disconnect(sid)


class QuietServer(uvicorn.Server):
    """Leaves the signals to pytest."""

    def capture_signals(self):
        return contextlib.nullcontext()


@pytest.fixture
async def peer():
    peer = Peer()
    listening = sockets.create_server(("127.0.0.1", 0))
    peer.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        peer, lifespan="off", log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started)
    yield peer
    peer.over.set()
    await peer.sio.shutdown()
    server.should_exit = True
    await running
    # python-socketio leaves its sockets' pings behind; a task of ours that is left fails the test.
    pings = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "AsyncSocket._send_ping"]
    for ping in pings:
        ping.cancel()
    await asyncio.gather(*pings, return_exceptions=True)


@dataclass
class Bench:
    """A follower's lines, and a clock that only its waits move."""

    lines: list = field(default_factory=list)
    slept: list = field(default_factory=list)
    now: float = 0.0

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0.001)

    def names(self):
        return [line.event for line in self.lines if line.event.startswith("export:") and line.server_seq]

    def numbers(self):
        return [line.server_seq for line in self.lines if getattr(line, "server_seq", None)]

    def connections(self):
        return [line.state for line in self.lines if line.event == "connection:changed"]

    def sources(self):
        return [line.source for line in self.lines if getattr(line, "server_seq", None)]


@pytest.fixture
def bench():
    return Bench()


@contextlib.asynccontextmanager
async def following(peer, bench, *, token=TOKEN, **options):
    server = Server(url=peer.url, correlation_id="c", token=token)
    async with (
        open_client(server) as http,
        Follower(
            api=Api(http=http, server=server),
            tell=bench.lines.append,
            sleep=bench.sleep,
            jitter=lambda: 0.5,
            monotonic=lambda: bench.now,
            soon=options.pop("soon", 20.0),  # a busy machine is no mute server
            **options,
        ) as follower,
    ):
        yield follower


async def end_of(watch):
    async with asyncio.timeout(PATIENCE):
        return await watch.ended


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


async def test_a_refusal_over_the_socket_that_http_does_not_share_ends_nothing(peer, bench):
    peer.refusal = {"ok": False, "code": "TOO_MANY_CALLS", "error": "8 calls are being worked on already"}
    async with following(peer, bench) as follower:
        await follower.connected()
        watch = follower.watch(PROJECT, JOB)
        await until(lambda: peer.polls)
        await peer.grow(*WHOLE, live=False)
        await end_of(watch)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]


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


async def test_no_server_at_all_is_polling_until_the_outage_is_too_long(bench):
    peer = Peer(url="http://127.0.0.1:9")
    async with following(peer, bench) as follower:
        await follower.connected()
        with pytest.raises(Unreachable):
            await end_of(follower.watch(PROJECT, JOB))
    assert bench.connections()[0] == "polling"


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


def test_the_waits_between_attempts_begin_short_and_are_bounded():
    assert (follow_module._RETRY_FIRST, follow_module._RETRY_MOST) == (0.5, 30.0)
