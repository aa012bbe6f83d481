"""A socket that keeps one waiting holds nothing up: jobs are started and followed without it, and it is tried on.

The limits of the waits that must not be waited for are set to hours here: whoever waited for them would never end.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from exportctl.client import calls as calls_module
from exportctl.client import follow as follow_module
from exportctl.client import follow2 as follow2_module
from exportctl.client import socket as socket_module
from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.client.http import Server, open_client
from exportctl.model.errors import NotAllowed, Rejected, Unreachable
from exportctl.protocol.events import Completed
from system.hostile import JOB, PROJECT, TOKEN, Peer, frame, response
from waiting import PATIENCE, until

HOURS = 7200.0


@pytest.fixture(autouse=True)
def for_hours(monkeypatch):
    monkeypatch.setattr(socket_module, "CONNECT_SECONDS", HOURS)
    monkeypatch.setattr(socket_module, "OPEN_SECONDS", HOURS)
    monkeypatch.setattr(calls_module, "ACKNOWLEDGE_SECONDS", HOURS)
    monkeypatch.setattr(follow2_module, "MUTE_SECONDS", HOURS)
    monkeypatch.setattr(follow2_module, "SOON_SECONDS", 0.05)


@dataclass
class Told:
    lines: list = field(default_factory=list)

    def numbers(self):
        return [line.server_seq for line in self.lines if getattr(line, "server_seq", None)]

    def connections(self):
        return [line.state for line in self.lines if line.event == "connection:changed"]


@pytest.fixture
def told():
    return Told()


@contextlib.asynccontextmanager
async def following(peer, told, *, protocol=2, **options):
    server = Server(url=peer.url, correlation_id="c", token=TOKEN)
    async with open_client(server) as http:
        api = Api(http=http, server=server)
        api.protocol = protocol
        options = {"soon": 0.05, "sleep": asyncio.sleep, "jitter": lambda: 0.5, "poll_interval": 0.05} | options
        loop = asyncio.get_running_loop()
        async with Follower(api=api, tell=told.lines.append, monotonic=loop.time, **options) as follower:
            yield follower


class TakesTheConnectionAndSaysNothing(Peer):
    async def upgrade(self, _request, _web):
        await asyncio.sleep(HOURS)


class UpgradesAndSaysNothing(Peer):
    async def talk(self, _web):
        await asyncio.sleep(HOURS)


class PingsInsteadOfLettingIn(Peer):
    async def talk(self, web):
        await web.send(b'0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
        while True:
            await web.send(b"2")
            await asyncio.sleep(0.01)


class PingsInsteadOfAcknowledging(Peer):
    async def subscribe(self, web, _data, _ack):
        while True:
            await web.raw(frame(b"", opcode=9) + frame(b"2"))
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        (TakesTheConnectionAndSaysNothing, ["polling"]),
        (UpgradesAndSaysNothing, ["polling"]),
        (PingsInsteadOfLettingIn, ["polling"]),
        (PingsInsteadOfAcknowledging, ["connected"]),
    ],
)
async def test_a_job_is_followed_by_polls_while_its_socket_keeps_it_waiting(told, kind, states):
    with kind() as peer:
        async with asyncio.timeout(PATIENCE), following(peer, told, soon=0.05 if "polling" in states else HOURS) as one:
            await one.connected(before_start=True)
            job = await one.watch(PROJECT, JOB).ended
    assert isinstance(job.end, Completed)
    assert told.numbers() == list(range(1, 9))
    assert told.connections() == states


async def test_a_socket_that_comes_up_late_takes_over_from_the_polls(told):
    go_on = asyncio.Event()

    class Late(Peer):
        async def upgrade(self, request, web):
            while not go_on.is_set():  # noqa: ASYNC110 - set by another thread's loop
                await asyncio.sleep(0.01)
            await super().upgrade(request, web)

        def facts(self):
            return super().facts() | {"status": "processing"}

    with Late() as peer:
        whole, peer.log = peer.log, peer.log[:3]
        async with asyncio.timeout(PATIENCE), following(peer, told) as follower:
            await follower.connected()
            watch = follower.watch(PROJECT, JOB)
            await until(lambda: told.numbers() == [1, 2, 3])
            go_on.set()
            await until(lambda: told.connections() == ["polling", "connected"] and watch.poller is None)
            peer.log = whole
            asyncio.run_coroutine_threadsafe(peer.tell(peer.sockets[0], 3), peer._loop)
            await watch.ended
    assert told.numbers() == list(range(1, 9))


async def test_a_start_on_protocol_1_waits_longer_for_the_socket_and_says_so(told, monkeypatch):
    """What it tells before the answer is told once only; a job that runs already can wait for polls."""
    monkeypatch.setattr(follow_module, "BEFORE_START_SECONDS", 0.05)
    with TakesTheConnectionAndSaysNothing() as peer:
        async with asyncio.timeout(PATIENCE), following(peer, told, protocol=1) as follower:
            await follower.connected(before_start=True)
    assert told.connections() == ["reconnecting", "polling"]
    assert "the start waits for it" in told.lines[0].reason
    told.lines.clear()
    with TakesTheConnectionAndSaysNothing() as peer:
        async with asyncio.timeout(PATIENCE), following(peer, told, protocol=1) as follower:
            await follower.connected()
    assert told.connections() == ["polling"]


class RefusesTheHandshake(Peer):
    async def talk(self, web):
        await web.send(b'0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
        await web.receive()
        await web.send(b'44{"message":"Authentication failed"}')
        await web.receive()


@pytest.mark.parametrize(
    "over",
    [
        NotAllowed("the session has ended", hint="exportctl login"),
        Rejected("this email is none"),
        Unreachable("sent on", code="REDIRECTED"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_sign_in_that_cannot_be_renewed_ends_the_following_with_what_is_wrong(told, over):
    async def renew():
        raise over

    with RefusesTheHandshake() as peer:
        async with asyncio.timeout(PATIENCE), following(peer, told, soon=HOURS) as follower:
            follower.api.renew = renew
            with pytest.raises(type(over)) as caught:
                await follower.connected()
            assert caught.value is over
            with pytest.raises(type(over)):
                await follower.watch(PROJECT, JOB).ended


async def test_a_sign_in_whose_server_is_away_is_tried_again_and_the_job_followed_meanwhile(told):
    asked = []

    async def renew():
        asked.append(1)
        raise Unreachable("the server could not renew the session (503)")

    with RefusesTheHandshake() as peer:
        peer.log = peer.log[:1]
        async with asyncio.timeout(PATIENCE), following(peer, told, soon=HOURS) as follower:
            follower.api.renew = renew
            await follower.connected()
            watch = follower.watch(PROJECT, JOB)
            await until(lambda: len(asked) >= 2)
            assert not watch.ended.done()
            assert "could not renew" in told.lines[0].reason


async def test_a_refusal_by_the_sign_in_itself_reaches_the_command(told):
    """It is the HTTP client's own `auth`: what it raises comes out of the attempt to open a socket."""

    class Refuses(Peer):
        async def handle(self, _request):
            return response(401, {"success": False, "error": "Token expired"})

    class Auth:
        error = Rejected("refuses this email or password")

        def __call__(self, _request):
            raise self.error

    with Refuses() as peer:
        server = Server(url=peer.url, correlation_id="c")
        async with asyncio.timeout(PATIENCE), open_client(server) as http:
            http.auth = Auth()
            api = Api(http=http, server=server)
            follower = Follower(
                api=api, tell=told.lines.append, sleep=asyncio.sleep, jitter=lambda: 0.5, monotonic=lambda: 0.0
            )
            async with follower:
                with pytest.raises(Rejected):
                    await follower.connected()
