"""Following protocol 1 within one process: many jobs, a renewed sign-in, statuses that contradict, laptops that slept.

What the oddities ask of the whole command is in `tests/wire`.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import pytest
from starlette.background import BackgroundTask

from exportctl.client import follow1
from exportctl.client.api import Api
from exportctl.client.desk import AT_ONCE
from exportctl.client.follow import Follower
from exportctl.client.http import Server, open_client
from exportctl.client.waiting import Slumber, sleep_or
from exportctl.model.errors import NotAllowed, NotFound, Unreachable
from exportctl.model.eta import WEIGHTS, Usual
from exportctl.protocol.events import Cancelled, Completed, Failed
from waiting import PATIENCE, until
from wire.server1 import HOLD, Export, Job1, Server1, serving

PROJECT = "p1"


def frame(job, name, **data):
    return "42" + json.dumps([f"export:{name}", {"jobId": job} | data])


def export(*whats, job="j1"):
    return Export(job_id=job, project_id=PROJECT, request={}, steps=[(0.0, what) for what in whats])


def running(job="j1"):
    return export("answer", frame(job, "started"), frame(job, "progress", progress=23), HOLD, job=job)


@dataclass
class Bench:
    """A follower's lines; its waits are short but for the slow look at a job whose socket is up."""

    lines: list = field(default_factory=list)
    slept: list = field(default_factory=list)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(seconds if seconds == follow1.SAFETY_SECONDS else min(seconds, 0.02))

    def told(self, event):
        return [line for line in self.lines if line.event == event]


@pytest.fixture
def bench():
    return Bench()


@contextlib.asynccontextmanager
async def following(server, bench, *, renew=None, **options):
    place = Server(url=server.url, correlation_id="c")
    async with open_client(place) as http:
        api = Api(http=http, server=place, renew=renew)
        await api.find_project(PROJECT)
        async with Follower(
            api=api,
            tell=bench.lines.append,
            sleep=bench.sleep,
            jitter=lambda: 0.5,
            monotonic=asyncio.get_running_loop().time,
            poll_interval=0.01,
            **options,
        ) as follower:
            await follower.connected()
            yield api, follower


async def started(api, follower, job="j1"):
    assert await api.start(PROJECT, {}, name="n", key="k") == job
    return follower.watch(PROJECT, job)


async def end_of(watch):
    async with asyncio.timeout(PATIENCE):
        return await watch.ended


async def test_five_hundred_jobs_are_followed_on_one_socket_with_few_requests_at_a_time(bench):
    jobs = [f"job-{at}" for at in range(500)]
    server = Server1([export("answer")])
    with serving(server):
        for job in jobs:
            server.jobs[job] = Job1(export=running(job), options={}, name="n")
        async with following(server, bench) as (_api, follower):
            watches = [follower.watch(PROJECT, job) for job in jobs]
            await until(lambda: len(bench.told("export:status-sync")) == 500)
            for job in jobs:
                server.jobs[job].said = "completed"
                server.soon(lambda job=job: asyncio.ensure_future(server.tell(frame(job, "completed", warnings=[]))))
            ends = [(await end_of(watch)).end for watch in watches]
    assert all(isinstance(end, Completed) for end in ends)
    assert server.opened == 1
    assert server.most_at_once <= AT_ONCE


async def test_events_that_are_lost_while_the_socket_is_up_are_made_up_for_by_the_slow_look(bench, monkeypatch):
    monkeypatch.setattr(follow1, "SAFETY_SECONDS", 0.05)
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            await until(lambda: watch.job.progress == 23)
            server.jobs["j1"].progress = 59
            await until(lambda: watch.job.progress == 59)
            server.jobs["j1"].said = "completed"
            assert isinstance((await end_of(watch)).end, Completed)
    assert server.opened == 1
    assert [line.source for line in bench.told("export:completed")] == ["poll"]


async def test_what_the_socket_said_before_the_status_is_told_though_it_is_read_behind_it(bench, monkeypatch):
    monkeypatch.setattr(follow1, "UNREAD_SECONDS", PATIENCE)

    class Overtaken(Server1):
        async def status(self, request):
            answer = await super().status(request)
            answer.background = BackgroundTask(self.catch_up)
            return answer

        async def catch_up(self):
            await asyncio.sleep(0.2)  # the socket's way is the longer one
            await self.tell(frame("j1", "started"))
            await self.tell(frame("j1", "progress", progress=40))
            await self.tell(frame("j1", "completed", warnings=[]))

    server = Overtaken([export("answer")])
    with serving(server):
        async with following(server, bench) as (api, follower):
            await api.start(PROJECT, {}, name="n", key="k")
            server.jobs["j1"].said = "completed"
            assert isinstance((await end_of(follower.watch(PROJECT, "j1"))).end, Completed)
    assert [line.progress for line in bench.told("export:progress")] == [40]
    assert [line.source for line in bench.told("export:completed")] == ["socket"]


async def test_a_socket_refused_for_a_sign_in_that_ran_out_is_opened_again_once_it_is_renewed(bench):
    server = Server1([running()])

    async def renew():
        server.is_signed_in = True
        return True

    with serving(server):
        async with following(server, bench, renew=renew) as (api, follower):
            watch = await started(api, follower)
            await until(lambda: server.open)
            server.is_signed_in = False
            await asyncio.to_thread(server.do, server.drop_sockets())
            await until(lambda: len(bench.told("connection:changed")) == 3)
            assert not watch.ended.done()
    assert [line.state for line in bench.told("connection:changed")] == ["connected", "polling", "connected"]


async def test_a_sign_in_that_cannot_be_renewed_ends_the_following(bench):
    server = Server1([running()])
    asked = []

    async def renew():
        asked.append(1)
        return False

    with serving(server):
        async with following(server, bench, renew=renew) as (api, follower):
            watch = await started(api, follower)
            server.is_signed_in = False
            await asyncio.to_thread(server.do, server.drop_sockets())
            with pytest.raises(NotAllowed):
                await end_of(watch)
    assert asked


@pytest.mark.parametrize(
    ("told", "status", "kind"),
    [
        ("completed", "completed", Completed),
        ("completed", "failed", Failed),
        ("completed", "cancelled", Cancelled),
        ("failed", "completed", Completed),
        ("failed", "failed", Failed),
        ("failed", "cancelled", Cancelled),
        ("cancelled", "completed", Completed),
        ("cancelled", "failed", Cancelled),
        ("cancelled", "cancelled", Cancelled),
    ],
)
async def test_rest_is_the_judge_of_how_a_job_ended(bench, told, status, kind):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            server.jobs["j1"].said = status
            await asyncio.to_thread(server.do, server.tell(frame("j1", told, error="boom")))
            assert isinstance((await end_of(watch)).end, kind)


@pytest.mark.parametrize("said", ["processing", "pending", "archived"])
@pytest.mark.parametrize("told", ["completed", "failed", "cancelled"])
async def test_an_end_that_rest_never_confirms_is_believed_in_the_end_and_the_doubt_told(bench, told, said):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            server.jobs["j1"].said = said
            await asyncio.to_thread(server.do, server.tell(frame("j1", told, error="boom")))
            job = await end_of(watch)
    assert job.has_ended
    assert [line.code for line in bench.told("log")] == ["status-contradicts"]
    assert bench.slept.count(follow1.CONFIRM_SECONDS) >= follow1.CONFIRM_TRIES - 1


@pytest.mark.parametrize("takes_sockets", [True, False])
async def test_a_cancellation_that_is_not_answered_goes_by_socket_or_is_told(bench, monkeypatch, takes_sockets):
    monkeypatch.setattr(follow1, "ANSWER_SECONDS", 0.05)
    server = Server1([running()], takes_sockets=takes_sockets)
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            await until(lambda: (watch.job.progress or 0) >= 5)
            server.late_by = 1.0
            if takes_sockets:
                await follower.cancel(watch, "SIGINT")
                await until(lambda: any("export:cancel" in one for one in server.asked))
            else:
                with pytest.raises(Unreachable):
                    await follower.cancel(watch, "SIGINT")


async def test_a_job_that_ends_first_needs_no_cancellation(bench):
    server = Server1([export("answer", frame("j1", "started"), HOLD)])
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            cancelling = asyncio.create_task(follower.cancel(watch, "SIGINT"))
            await until(lambda: server.count("/status") > 1)
            server.jobs["j1"].said = "completed"
            await asyncio.to_thread(server.do, server.tell(frame("j1", "completed")))
            assert isinstance((await end_of(watch)).end, Completed)
            await cancelling
    assert server.count("/cancel") == 0


async def test_a_single_not_found_of_a_proxy_is_asked_about_again(bench):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench, transport="polling") as (api, follower):
            watch = await started(api, follower)
            await until(lambda: server.count("/status"))
            jobs, server.jobs = server.jobs, {}
            before = server.count("/status")
            await until(lambda: server.count("/status") > before)
            server.jobs = jobs
            # Either it was asked twice meanwhile, or it goes on: both are told, neither hangs.
            server.jobs["j1"].said = "completed"
            with contextlib.suppress(NotFound):
                assert isinstance((await end_of(watch)).end, Completed)


async def test_what_a_server_says_of_its_stop_is_told(bench):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (_api, _follower):
            words = json.dumps(["system-message", {"type": "shutdown", "message": "Back soon\nat /srv/a/b"}])
            await until(lambda: server.open)
            await asyncio.to_thread(server.do, server.tell(f"42{words}"))
            await until(lambda: bench.told("log"))
    assert [(line.code, line.message) for line in bench.told("log")] == [("system-message", "Back soon")]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"operationId": "o", "message": "m"},
        {"jobId": None},
        {"jobId": "another", "progress": 99},
        {"jobId": "j1", "progress": float("nan")},
        {"jobId": "j1", "progress": "many", "stageProgress": 7, "message": []},
    ],
)
async def test_strange_events_harm_no_job(bench, data):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (api, follower):
            watch = await started(api, follower)
            await until(lambda: server.open)
            await asyncio.to_thread(server.do, server.tell("42" + json.dumps(["export:cancelled-by", data])))
            if not (isinstance(data, dict) and data.get("jobId") == "j1"):
                await asyncio.to_thread(server.do, server.tell("42" + json.dumps(["export:cancelled", data])))
            await asyncio.to_thread(server.do, server.tell("42" + json.dumps(["export:progress", data])))
            server.jobs["j1"].said = "completed"
            await asyncio.to_thread(server.do, server.tell(frame("j1", "completed")))
            job = await end_of(watch)
    assert isinstance(job.end, Completed)
    assert job.progress in {23, None}


async def test_a_machine_that_slept_tries_its_connection_at_once(bench):
    server = Server1([running()])
    with serving(server):
        async with following(server, bench) as (_api, follower):
            await until(lambda: server.open)
            follower.look_again()
            await until(lambda: server.opened == 2 and len(bench.told("connection:changed")) == 3)
    lost = bench.told("connection:changed")[1]
    assert (lost.reason, lost.retry_in) == ("this machine slept", 0.0)


def test_a_slumber_is_seen_by_the_clocks_that_went_apart():
    now = {"wall": 100.0, "monotonic": 5.0}
    slumber = Slumber(wall=lambda: now["wall"], monotonic=lambda: now["monotonic"])
    now.update(wall=105.1, monotonic=10.0)
    assert not slumber.has_slept()
    now.update(wall=3705.1, monotonic=15.0)
    assert slumber.has_slept()
    now.update(wall=3710.1, monotonic=20.0)
    assert not slumber.has_slept()
    now.update(wall=10.0, monotonic=25.0)  # a clock that is set back is no sleep
    assert not slumber.has_slept()


async def test_news_cut_a_wait_short():
    news = asyncio.Event()
    waiting = asyncio.create_task(sleep_or(asyncio.sleep, 3600, news))
    news.set()
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_what_the_stages_of_a_job_took_is_learned_and_tells_a_later_job_its_end_from_the_beginning(bench):
    counted = {"current": 2, "total": 2, "currentItem": "b.png"}
    steps = (
        "answer",
        frame("j1", "started"),
        frame("j1", "progress", progress=23, stage="images", stageProgress=counted),
        frame("j1", "progress", progress=95, phase="downloading", stage="compression"),
        frame("j1", "completed", warnings=[]),
    )
    server, learned = Server1([export(*steps)]), []
    usual = Usual(seconds=dict.fromkeys(WEIGHTS, 20.0), images=2)
    options = {"learn": lambda *facts: learned.append(facts), "usual": {PROJECT: usual}.get}
    with serving(server):
        async with following(server, bench, **options) as (api, follower):
            assert isinstance((await end_of(await started(api, follower))).end, Completed)
    [(project, seen)] = learned
    assert (project, seen.images, set(seen.seconds) >= {"images", "compression"}) == (PROJECT, 2, True)
    left = [line.estimated_time_remaining for line in bench.told("export:progress")]
    assert left[0] == pytest.approx(60, abs=45), "one of five stages is done, faster than is usual"
