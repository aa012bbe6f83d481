"""Servers that do not speak sensibly: the command comes to the right end, or to status 7, in bounded time, in words."""

import asyncio
import random

import orjson
import pytest

from system.hostile import JOB, SILENCE, Peer, check_good, envelope, frame, packet, run


class Plain(Peer):
    pass


@pytest.mark.parametrize("transport", ["auto", "socket", "polling"])
def test_a_server_that_behaves_is_followed(command, transport):
    with Plain() as peer:
        check_good(run(command, peer, "--transport", transport), command)


class TellsBeforeTheAnswer(Peer):
    async def start(self, request):
        for web in self.sockets:
            await self.tell(web)
        return await super().start(request)


class TellsTwiceAndInAnyOrder(Peer):
    async def subscribe(self, web, data, ack):
        shuffled = [*self.log, *self.log]
        random.Random(7).shuffle(shuffled)
        for name, event in shuffled:
            await web.send(packet(name, event))
        await super().subscribe(web, data, ack)


class AcknowledgesFirst(Peer):
    async def subscribe(self, web, data, ack):
        await self.acknowledge(web, ack, {"ok": True, "protocol": 2, **self.facts()})
        await self.tell(web, data["after"])


class TellsOfOthers(Peer):
    async def subscribe(self, web, data, ack):
        for end in ("export:completed", "export:failed", "export:cancelled"):
            for name, _ in self.log[:3]:
                await web.send(packet(name, envelope(1, "somebody-elses") | {"progress": 99}))
            await web.send(packet(end, envelope(2, "somebody-elses") | {"error": "not yours"}))
        await super().subscribe(web, data, ack)


class TellsWhatNobodyKnows(Peer):
    async def subscribe(self, web, data, ack):
        for name in ("export:renamed", "message", "", "export:progress\u0000", "system-message"):
            await web.send(packet(name, {"jobId": JOB, "type": "planned"}))
        for strange in (b"null", b"[]", b'"text"', b"17", b'{"jobId":null}', b'{"jobId":{}}', b"{},{},{}"):
            await web.send(packet("export:progress", strange))
        await web.send(b'42["export:progress"]')
        await web.send(b'42/admin,["export:progress",{}]')
        await web.send(b'4399["an answer to nothing"]')
        await super().subscribe(web, data, ack)


class TearsFrames(Peer):
    async def tell(self, web, after=0):
        for name, data in self.log[after:]:
            whole = packet(name, data)
            pieces = [whole[at : at + 1] for at in range(len(whole))]
            for number, piece in enumerate(pieces):
                part = frame(piece, opcode=0 if number else 1, final=number == len(pieces) - 1)
                for at in range(len(part)):
                    await web.raw(part[at : at + 1])
                if number % 40 == 0:
                    await web.raw(frame(b"", opcode=9))


class SendsUnaskedPongs(Peer):
    async def connected(self, web):
        if len(self.sockets) == 1:
            await web.raw(frame(b"unasked", opcode=10))


class SaysNotANumber(Peer):
    async def tell(self, web, after=0):
        for name, data in self.log[after:]:
            text = orjson.dumps(data | {"progress": -1}).replace(b'"progress":-1', b'"progress":NaN')
            await web.send(packet(name, text))


class HasHugeEvents(Peer):
    size = 5_000_000

    def __init__(self):
        super().__init__()
        self.log = [
            (name, data | {"extra": "x" * self.size}) if name == "export:progress" else (name, data)
            for name, data in self.log
        ]


class HasHugerEvents(HasHugeEvents):
    size = 20_000_000


class AnnouncesAFrameOfExabytes(Peer):
    async def talk(self, web):
        if not self.sockets:
            self.sockets.append(web)
            await web.send(SILENCE)
            await web.raw(b"\x81\x7f" + (2**62).to_bytes(8) + b"42")
            await asyncio.sleep(3600)
        await super().talk(web)


class TwoEnds(Peer):
    async def subscribe(self, web, data, ack):
        await self.tell(web, data["after"])
        for seq, end in enumerate(("export:failed", "export:cancelled", "export:completed"), start=len(self.log) + 1):
            await web.send(packet(end, envelope(seq) | {"error": "late", "warnings": ["late"]}))
        await self.acknowledge(web, ack, {"ok": True, "protocol": 2, **self.facts()})


class ContradictsInTheAnswer(Peer):
    async def subscribe(self, web, data, ack):
        sync = {"jobId": JOB, "status": "failed", "progress": 3, "lastSeq": 1, "phase": "nonsense"}
        await web.send(packet("export:status-sync", sync))
        await self.tell(web, data["after"])
        await self.acknowledge(web, ack, {"ok": True, "protocol": 2, **self.facts(), "status": "failed"})


class SaysItRunsStill(Peer):
    def __init__(self):
        super().__init__()
        self.status = "processing"


class RefusesSubscriptions(Peer):
    async def subscribe(self, web, _data, ack):
        await self.acknowledge(web, ack, {"ok": False, "code": "BUSY", "error": "not now"})


class AnswersSubscriptionsWithNonsense(Peer):
    async def subscribe(self, web, data, ack):
        for nonsense in (
            None,
            [],
            "yes",
            {"ok": "yes"},
            {"ok": True, "log": 7, "lastSeq": "many", "status": [], "gap": "?"},
        ):
            await self.acknowledge(web, ack, nonsense)
        await self.tell(web, data["after"])


class DropsEachSocketAfterAnEvent(Peer):
    async def subscribe(self, web, data, _ack):
        for name, event in self.log[data["after"] :][:1]:
            await web.send(packet(name, event))
        raise OSError


GOOD_IN_THE_END = [
    TellsBeforeTheAnswer,
    TellsTwiceAndInAnyOrder,
    AcknowledgesFirst,
    TellsOfOthers,
    TellsWhatNobodyKnows,
    TearsFrames,
    SendsUnaskedPongs,
    SaysNotANumber,
    HasHugeEvents,
    HasHugerEvents,
    AnnouncesAFrameOfExabytes,
    TwoEnds,
    ContradictsInTheAnswer,
    SaysItRunsStill,
    RefusesSubscriptions,
    AnswersSubscriptionsWithNonsense,
    DropsEachSocketAfterAnEvent,
]


@pytest.mark.parametrize("kind", GOOD_IN_THE_END)
def test_the_story_and_the_archive_survive_a_server_that(command, kind):
    with kind() as peer:
        check_good(run(command, peer), command)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 4_000,
        b"\x83\x00",  # a reserved opcode
        b"\xf1\x01a",  # reserved bits
        b"\x81\x85maskHELLO",  # masked, which a server must not
        frame(b"\xff\xfe not UTF-8"),
        frame(b""),
        frame(b"hello"),
        frame(b"0{"),
        frame(b'0{"sid":7}'),
        frame(b"\x00" * 70_000, opcode=2),
        frame(b"x" * 200, opcode=9),  # a control frame that is too long
        frame(b"\x03", opcode=8),
        frame(b"\x03\xe8bye", opcode=8),
        frame(b"42[" + b"[" * 100_000),
        frame(b"9" * 100_000),
        frame(b"", opcode=0),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
    ids=lambda data: data[:12].hex() or "nothing",
)
@pytest.mark.parametrize("when", ["at once", "when it is subscribed"])
def test_a_socket_of_garbage_is_left_for_polling(command, garbage, when):
    class Garbage(Peer):
        async def upgrade(self, request, web):
            if any(line.path == "/socket.io/" for line in self.requests[:-1]):
                raise OSError
            await super().upgrade(request, web)

        async def talk(self, web):
            if when == "at once":
                await web.raw(garbage)
                raise OSError
            await super().talk(web)

        async def subscribe(self, web, _data, _ack):
            await web.raw(garbage)
            raise OSError

    with Garbage() as peer:
        check_good(run(command, peer), command)
