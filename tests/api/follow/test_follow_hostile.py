"""Servers that break the socket, the log or the order in ways of their own: the story is whole, or its end is in words.

In one process with the follower, so that each costs next to nothing; `system/test_hostile*.py` run the command.
"""

import asyncio
import contextlib
import json

import pytest

from exportctl.client import desk as desk_module
from exportctl.client import doubt as doubt_module
from exportctl.client import follow2 as follow2_module
from exportctl.client import watch as watch_module
from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.client.http import Server, open_client
from exportctl.model.errors import ExportctlError, NotAllowed, NotFound, Rejected, Unreachable
from exportctl.protocol.events import Completed
from system.hostile import JOB, PROJECT, TOKEN, Peer, envelope, frame, packet, response
from waiting import PATIENCE

WHOLE = list(range(1, 9))


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(follow2_module, "SOON_SECONDS", 0.1)
    monkeypatch.setattr(follow2_module, "MUTE_SECONDS", 0.2)
    monkeypatch.setattr(desk_module, "PAGE_SECONDS", 0.2)
    monkeypatch.setattr(doubt_module, "DOUBT_SECONDS", 0.3)


async def followed(peer, lines, **options):
    """Follow the peer's job; return its end, or the error that ended it."""
    server = Server(url=peer.url, correlation_id="c", token=TOKEN)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), open_client(server) as http:
        api = Api(http=http, server=server)
        api.protocol = 2
        options = {"sleep": asyncio.sleep, "jitter": lambda: 0.5, "poll_interval": 0.02} | options
        async with Follower(api=api, tell=lines.append, monotonic=loop.time, **options) as follower:
            await follower.connected()
            try:
                return (await follower.watch(PROJECT, JOB).ended).end
            except ExportctlError as error:
                return error


def numbers(lines):
    return [line.server_seq for line in lines if getattr(line, "server_seq", None)]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 204 X\r\n\r\n",
        b"HTTP/1.1 301 X\r\n\r\n",
        b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 426 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 X\r\nRetry-After: 9999999\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/9.9 101 X\r\n\r\n",
        b"\x00" * 300,
        b"",
    ],
    ids=lambda data: data[:14].decode("latin-1").strip() or "nothing",
)
async def test_whatever_answers_the_upgrade_a_job_is_followed(answer):
    class Answers(Peer):
        async def upgrade(self, _request, web):
            await web.raw(answer)
            raise OSError

    lines = []
    with Answers() as peer:
        assert isinstance(await followed(peer, lines), Completed)
    assert numbers(lines) == WHOLE


@pytest.mark.parametrize(
    "fields",
    [
        {"pingInterval": 0, "pingTimeout": 0},
        {"pingInterval": -1},
        {"pingInterval": 1e308},
        {"pingTimeout": "20000"},
        {"pingInterval": None},
        {"pingInterval": 1, "pingTimeout": 1},
        {"sid": ""},
        {"sid": "a\r\nX: y"},
        {"upgrades": "websocket"},
        {"maxPayload": 1},
        {"maxPayload": 0},
        {"maxPayload": True},
    ],
    ids=str,
)
async def test_whatever_the_handshake_says_a_job_is_followed(fields):
    class Says(Peer):
        async def talk(self, web):
            usual = {"sid": "s", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1000000}
            await web.send(b"0" + json.dumps(usual | fields).encode())
            await web.receive()
            await web.send(b'40{"sid":"t"}')
            self.sockets.append(web)
            while True:
                said = await web.receive()
                if said.startswith(b"42"):
                    await self.subscribe(web, {"after": 0}, said[2:].split(b"[")[0])

    lines = []
    with Says() as peer:
        assert isinstance(await followed(peer, lines), Completed)
    assert numbers(lines) == WHOLE


@pytest.mark.parametrize(
    "frames",
    [
        [frame(b'451-["export:progress",{"_placeholder":true,"num":0}]'), frame(b"\x00\x01", opcode=2)],
        [frame(b'451-["export:progress",{"_placeholder":true,"num":7}]'), frame(b"\x00", opcode=2)],
        [frame(b'451-["export:progress",{"_placeholder":true,"num":0}]'), frame(b'42["x"]')],
        [frame(b'459999999-["x"]')],
        [frame(b"41")],
        [frame(b"1")],
        [frame(b"6"), frame(b"6")],
        [frame(b"3probe"), frame(b"2probe")],
        [frame(b'42[7,{"jobId":"x"}]')],
        [frame(b"42{}")],
        [frame(b'42["export:heartbeat",{"jobId":"%s","lastSeq":9007199254740991}]' % JOB.encode())],
        [frame(b'42["export:heartbeat",{"jobId":"%s","lastSeq":-5}]' % JOB.encode())],
        [frame(b'42["export:status-sync",{"jobId":"%s","status":"failed","lastSeq":1e999}]' % JOB.encode())],
        [
            frame(packet("export:progress", envelope(1) | {"seq": seq, "progress": 1}))
            for seq in ("1", 1.0, -1, True, 0)
        ],
        [frame(packet("export:completed", envelope(9_999_999)))],
        [frame(packet("export:failed", envelope(2) | {"error": "another's end under a known number"}))] * 3,
        [frame(b'42["export:progress",{"jobId":"%s","seq":NaN,"progress":NaN,"message":"\\ud800"}]' % JOB.encode())],
        [frame(b"", opcode=0, final=False)],
        [frame(b'42["export:progress"', final=False), frame(b"", opcode=9), frame(b",{}]", opcode=0)],
        [b"\x81", b"\xfe\x00"],
        [frame(b'44{"message":"late"}')],
        [frame(b'40{"sid":"again"}')],
        [frame(b"4" * 200_000)],
    ],
    ids=lambda frames: frames[0][:40].decode("latin-1"),
)
async def test_whatever_comes_before_the_story_the_story_is_whole(frames):
    """What comes says nothing, or breaks the protocol: then the story comes by polls, or over another socket."""

    class Says(Peer):
        async def subscribe(self, web, data, ack):
            if len(self.sockets) == 1:
                for data_of_frame in frames:
                    await web.raw(data_of_frame)
            await super().subscribe(web, data, ack)

    lines = []
    with Says() as peer:
        end = await followed(peer, lines)
    told = [line.event for line in lines if getattr(line, "server_seq", None)]
    if frames[0] == frame(packet("export:failed", envelope(2) | {"error": "another's end under a known number"})):
        # The first word under a number counts, wherever it came from.
        assert numbers(lines) == [1, 2]
        assert told[-1] == "export:failed"
        return
    assert isinstance(end, Completed)
    assert numbers(lines) == WHOLE


@pytest.mark.parametrize("transport", ["socket", "auto"])
async def test_a_socket_that_acknowledges_and_tells_nothing_is_made_up_for(transport):
    """Its heartbeats know of more, or there are none."""

    class Mute(Peer):
        async def subscribe(self, web, _data, ack):
            await self.acknowledge(web, ack, {"ok": True, "log": "the-log", "lastSeq": 0, "status": "processing"})
            while transport == "auto":
                await web.send(packet("export:heartbeat", {"jobId": JOB, "lastSeq": len(self.log)}))
                await asyncio.sleep(0.01)

    lines = []
    with Mute() as peer:
        assert isinstance(await followed(peer, lines, transport=transport), Completed)
    assert numbers(lines) == WHOLE


@pytest.mark.parametrize("body", [None, [], 7, "x", {}, {"events": None}, {"events": {"event": 1}}, {"success": True}])
async def test_a_log_that_is_none_is_an_end_in_words(body):
    class Nonsense(Peer):
        async def events(self, _request):
            return response(200, body)

    lines = []
    with Nonsense() as peer:
        end = await followed(peer, lines, transport="polling")
    assert isinstance(end, Unreachable)
    assert "where JSON was due" in end.message
    assert numbers(lines) == []


@pytest.mark.parametrize("events", [[None, 7, [], "x", {}], [{"event": 7, "data": 7}], [{"event": "export:progress"}]])
async def test_a_log_of_nonsense_that_has_ended_ends_the_following(events):
    class Nonsense(Peer):
        async def events(self, _request):
            return response(200, {"events": events, **self.facts()})

    with Nonsense() as peer:
        end = await followed(peer, [], transport="polling")
    assert isinstance(end, Unreachable)
    assert end.code == "NO_END"


class Contradicts(Peer):
    """The status says that the job has ended; its log, its heartbeats and its subscription that it goes on."""

    told = 0

    def facts(self):
        return super().facts() | {"lastSeq": self.told, "status": "processing"}

    async def events(self, request):
        found = [{"event": name, "data": data} for name, data in self.log[int(request.query["after"]) : self.told]]
        await asyncio.sleep(0.01)
        return response(200, {"events": found, **self.facts()})

    async def subscribe(self, web, _data, ack):
        await self.acknowledge(web, ack, {"ok": True, "protocol": 2, **self.facts()})
        while True:
            await web.send(packet("export:heartbeat", {"jobId": JOB, "lastSeq": self.told, "status": "processing"}))
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["polling", "auto"])
async def test_a_job_that_has_ended_by_its_status_alone_is_not_followed_for_ever(transport):
    lines = []
    with Contradicts() as peer:
        peer.told = 3
        end = await followed(peer, lines, transport=transport)
    assert isinstance(end, Unreachable)
    assert end.code == "NO_END"
    assert numbers(lines) == [1, 2, 3]


@pytest.mark.parametrize("transport", ["polling", "auto"])
async def test_a_log_that_lags_behind_the_status_is_waited_for(transport):
    class Lags(Contradicts):
        async def look(self, request):
            answer = await super().look(request)
            self.told = len(self.log)
            return answer

    lines = []
    with Lags() as peer:
        assert isinstance(await followed(peer, lines, transport=transport), Completed)
    assert numbers(lines) == WHOLE


@pytest.mark.parametrize(("status", "kind"), [(401, NotAllowed), (403, NotAllowed), (404, NotFound), (422, Rejected)])
async def test_what_cannot_get_better_is_not_asked_again(status, kind):
    class Refuses(Peer):
        async def events(self, _request):
            return response(status, {"success": False, "error": "no"})

    with Refuses() as peer:
        assert isinstance(await followed(peer, [], transport="polling"), kind)
        assert len([one for one in peer.requests if one.path.endswith("/events")]) == 1


async def test_a_log_that_is_trimmed_is_told_as_such_in_polls_too():
    class Trims(Peer):
        has_trimmed = False

        async def events(self, request):
            is_first = int(request.query["after"]) == 0
            if not is_first and not self.has_trimmed:
                self.has_trimmed = True
                return response(200, {"events": [], **self.facts(), "gap": True})
            found = [{"event": name, "data": data} for name, data in self.log]
            return response(
                200, {"events": found[: None if self.has_trimmed else 3], **self.facts(), "status": "processing"}
            )

    lines = []
    with Trims() as peer:
        assert isinstance(await followed(peer, lines, transport="polling"), Completed)
    assert numbers(lines) == [1, 2, 3, *WHOLE]
    at = next(at for at, line in enumerate(lines) if line.event == "log")
    assert lines[at].code == "log-gap"
    assert (lines[at + 1].event, lines[at + 1].status) == ("export:status-sync", "completed")


async def test_a_log_that_begins_anew_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(watch_module, "_MOST_REWINDS", 3)

    class Anew(Peer):
        def facts(self):
            return super().facts() | {"gap": True, "status": "processing", "log": f"log-{len(self.requests)}"}

        async def events(self, _request):
            found = [{"event": name, "data": data} for name, data in self.log[:3]]
            return response(200, {"events": found, **self.facts()})

    lines = []
    with Anew() as peer:
        end = await followed(peer, lines, transport="polling")
    assert isinstance(end, Unreachable)
    assert end.code == "NO_LOG"
    assert len([line for line in lines if line.event == "log"]) == 4


async def test_events_before_the_following_and_of_others_without_end_lose_nothing():
    class Floods(Peer):
        async def connected(self, web):
            for _ in range(3):
                for name, data in self.log:
                    await web.send(packet(name, data))
                    await web.send(packet(name, data | {"jobId": "another", "projectId": None}))

    lines = []
    with Floods() as peer, contextlib.suppress(OSError):
        assert isinstance(await followed(peer, lines), Completed)
    assert numbers(lines) == WHOLE
    assert {line.job_id for line in lines if line.event.startswith("export:")} == {JOB}
