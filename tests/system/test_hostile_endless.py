"""Servers that never come to an end, or to a point: silence, pages, redirects, pings. The command ends, in words."""

import asyncio
import contextlib
import socket

import pytest

from system.hostile import (
    ARCHIVE,
    SILENCE,
    TOKEN,
    Peer,
    begin,
    check_good,
    check_unreachable,
    finish,
    for_ever,
    frame,
    packet,
    response,
    run,
)
from system.processes import command_in, end_of
from system.telling import check_form

PAGE = b"<!doctype html><html><body>Welcome to the clinic's portal</body></html>"


class PageFor(Peer):
    """Answers one kind of request with a page of HTML."""

    where = ""

    async def handle(self, request):
        if request.path.endswith(self.where):
            return response(200, PAGE, Content_Type="text/html")
        return await super().handle(request)


class PageForProjects(PageFor):
    where = "/projects"


class PageForTheStart(PageFor):
    where = "/export"


class PageForTheArchive(PageFor):
    where = "/download"


class RedirectsForEver(Peer):
    async def handle(self, request):
        return response(302, b"", Location=f"{self.url}{request.path}?again")


class Fails(Peer):
    async def handle(self, _request):
        return response(500, {"success": False, "error": "boom\n  at /srv/app/index.js:3"})


class BreaksOff(Peer):
    async def handle(self, request):
        return (await super().handle(request))[:-20] if request.path.endswith("projects") else b""

    async def taken(self, reader, writer):
        await super().taken(Once(reader), writer)


class Once:
    """A reader that gives one request."""

    def __init__(self, reader):
        self.reader, self.asked = reader, False

    async def readuntil(self, mark):
        if self.asked:
            raise OSError
        self.asked = True
        return await self.reader.readuntil(mark)

    async def readexactly(self, size):
        return await self.reader.readexactly(size)


class SpeaksNoHttp(Peer):
    async def taken(self, reader, writer):
        await reader.read(100)
        writer.write(b"220 mail.example.org ESMTP ready\r\n")
        await writer.drain()


class NestsForEver(Peer):
    async def handle(self, _request):
        return response(200, b'{"projects":' + b"[" * 500_000)


class SendsHeadersForEver(Peer):
    async def taken(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: and more\r\n")
            await writer.drain()


@pytest.mark.parametrize(
    "kind",
    [
        PageForProjects,
        PageForTheStart,
        RedirectsForEver,
        Fails,
        BreaksOff,
        SpeaksNoHttp,
        NestsForEver,
        SendsHeadersForEver,
    ],
)
def test_what_is_no_export_server_is_status_7(command, kind):
    with kind() as peer:
        check_unreachable(run(command, peer), command)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        7,
        {},
        {"projects": None},
        {"projects": {}},
        {"projects": [None, 7, {}]},
        {"projects": [{"id": 7, "title": None}], "pagination": 9},
    ],
)
def test_a_list_of_projects_that_makes_no_sense_is_an_end_in_words(command, answer):
    class Nonsense(Peer):
        async def handle(self, _request):
            return response(200, answer)

    with Nonsense() as peer:
        ended = run(command, peer)
    assert ended.status in {5, 7}
    assert ended.stderr.startswith("exportctl: error: ")


class PagesOfProjectsForEver(Peer):
    async def handle(self, request):
        number = int(request.query.get("page", "1"))
        return response(
            200, {"projects": [{"id": f"p{number}", "title": "other"}], "pagination": {"totalPages": 10**9}}
        )


def test_pages_of_projects_without_end_come_to_one(command):
    with PagesOfProjectsForEver() as peer:
        ended = run(command, peer, "--timeout", "20")
    assert ended.status == 5


def test_a_page_in_place_of_the_archive_is_told_as_that(command):
    with PageForTheArchive() as peer:
        ended = run(command, peer)
    assert ended.status == 7, ended.lines
    assert "a web page where the archive was due" in ended.stderr
    assert not list(command.folder.glob("*.zip"))


class AnswersForEver(Peer):
    async def taken(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nExport-Protocol: 2\r\n\r\n[")
        while True:
            writer.write(b'"and more",' * 100_000)
            await writer.drain()


def test_an_answer_without_end_is_told_as_that_and_not_asked_for_again(command):
    with AnswersForEver() as peer:
        ended = run(command, peer)
    check_unreachable(ended, command)
    assert ended.result["error"]["code"] == "TOO_LONG"
    assert "answers without end" in ended.stderr
    assert [line["event"] for line in ended.lines] == ["hello", "result"]


@pytest.mark.parametrize("transport", ["auto", "polling"])
def test_a_server_that_accepts_and_says_nothing_is_left(command, transport):
    """The kernel accepts; nobody ever reads."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        arguments = ["run", "plates", "--server", url, "--token", TOKEN, "--ndjson", "--transport", transport]
        ended = end_of(command.start(*arguments, "--progress", "none", "--timeout", "3"), 20, "a mute server")
    check_form(ended, command)
    assert (ended.status, ended.result["outcome"]) == (6, "timeout")


class SaysNothingAtTheSignIn(Peer):
    async def handle(self, request):
        await asyncio.sleep(3600 if request.path == "/api/auth/login" else 0)
        return await super().handle(request)


class WantsAWait(Peer):
    async def handle(self, _request):
        return response(503, {"success": False, "error": "busy"}, Retry_After="50")


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        (SaysNothingAtTheSignIn, {"EXPORTCTL_EMAIL": "ana@example.com", "EXPORTCTL_PASSWORD": "secret"}),
        (WantsAWait, {"EXPORTCTL_TOKEN": TOKEN}),
    ],
)
def test_the_time_that_was_given_bounds_the_sign_in_and_the_waits_too(command, kind, who):
    command.environment |= who
    with kind() as peer:
        arguments = ["run", "plates", "--server", peer.url, "--ndjson", "--progress", "none", "--timeout", "1"]
        ended = end_of(command.start(*arguments), 30, kind.__name__)
    check_form(ended, command)
    assert (ended.status, ended.result["outcome"]) == (6, "timeout")
    if kind is WantsAWait:
        assert [line["retryIn"] for line in ended.lines if line["event"] == "connection:changed"] == [50]


NEVER_FOUND = """
import socket, time
found = socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    if host in ("never-found.example", b"never-found.example"):
        time.sleep(3600)
    return found(host, *more, **named)
socket.getaddrinfo = getaddrinfo
"""


def test_a_name_server_that_does_not_answer_holds_up_no_end(command):
    """The system's look-up cannot be interrupted: it is left behind."""
    (command.home / "sitecustomize.py").write_text(NEVER_FOUND)
    command.environment["PYTHONPATH"] = str(command.home)
    arguments = ["run", "plates", "--server", "http://never-found.example", "--token", TOKEN, "--ndjson"]
    ended = end_of(command.start(*arguments, "--progress", "none", "--timeout", "1"), 30, "no name")
    check_form(ended, command)
    assert (ended.status, ended.result["outcome"]) == (6, "timeout")


class TakesTheHandshakeAndSaysNothing(Peer):
    async def upgrade(self, _request, _web):
        await asyncio.sleep(3600)


class OpensAndSaysNothing(Peer):
    async def talk(self, web):
        await web.send(SILENCE)
        await asyncio.sleep(3600)


class FallsSilentWhenConnected(Peer):
    async def talk(self, web):
        await web.send(SILENCE)
        await web.receive()
        await web.send(b'40{"sid":"t"}')
        await asyncio.sleep(3600)


class PingsForEverBeforeTheHandshake(Peer):
    async def talk(self, web):
        await for_ever(web, frame(b"", opcode=9) + frame(b"2"))


class PingsForEverWhenConnected(Peer):
    async def connected(self, web):
        await for_ever(web, frame(b"2"))


class PingsOfTheWebSocketForEverWhenConnected(Peer):
    async def connected(self, web):
        await for_ever(web, frame(b"", opcode=9))


class ForeignEventsForEver(Peer):
    async def connected(self, web):
        await for_ever(web, frame(packet("export:progress", {"jobId": "somebody-elses", "progress": 1})))


class FragmentsForEver(Peer):
    async def connected(self, web):
        await web.raw(frame(b'42["export:progress', final=False))
        await for_ever(web, frame(b"x" * 10_000, opcode=0, final=False))


class TellsNothingMore(Peer):
    """Subscribes, then pings and tells nothing: neither events nor the heartbeats that are due every 5 s."""

    async def subscribe(self, web, _data, ack):
        await self.acknowledge(web, ack, {"ok": True, "log": "the-log", "lastSeq": 0, "status": "processing"})
        await for_ever(web, frame(b"2"))


def test_a_socket_that_never_comes_to_the_point_is_left_for_polling(tmp_path):
    """All of them at once: some are given a quarter of a minute."""
    kinds = [
        TakesTheHandshakeAndSaysNothing,
        OpensAndSaysNothing,
        FallsSilentWhenConnected,
        PingsForEverBeforeTheHandshake,
        PingsForEverWhenConnected,
        PingsOfTheWebSocketForEverWhenConnected,
        ForeignEventsForEver,
        FragmentsForEver,
        TellsNothingMore,
    ]
    with contextlib.ExitStack() as stack:
        running = []
        for kind in kinds:
            peer, command = stack.enter_context(kind()), command_in(tmp_path / kind.__name__)
            running.append((begin(command, peer), command, peer))
        for process, command, peer in running:
            check_good(finish(process, command, peer, 60), command)


class SaysItIsOverButHasNoEnd(Peer):
    def __init__(self):
        super().__init__()
        self.log = self.log[:3]


class SaysItIsOverAndHasNoLog(Peer):
    def __init__(self):
        super().__init__()
        self.log = []


class CountsBeyondItsLog(Peer):
    def __init__(self):
        super().__init__()
        self.log = self.log[:3]

    def facts(self):
        return super().facts() | {"lastSeq": 1000}


class NumbersWithAHole(Peer):
    def __init__(self):
        super().__init__()
        del self.log[3]


class ForgetsTheJob(Peer):
    async def events(self, _request):
        return response(404, {"success": False, "error": "no such job", "code": "NOT_FOUND"})

    async def subscribe(self, web, _data, ack):
        await self.acknowledge(web, ack, {"ok": False, "code": "NOT_FOUND", "error": "no such job"})


@pytest.mark.parametrize("transport", ["auto", "polling"])
@pytest.mark.parametrize(
    "kind", [SaysItIsOverButHasNoEnd, SaysItIsOverAndHasNoLog, CountsBeyondItsLog, NumbersWithAHole]
)
def test_a_log_without_the_end_that_the_status_tells_does_not_hang(command, kind, transport):
    with kind() as peer:
        ended = run(command, peer, "--transport", transport, patience=40)
    assert ended.status in {0, 7}


def test_a_forgotten_job_is_status_5(command):
    with ForgetsTheJob() as peer:
        assert run(command, peer).status == 5


@pytest.mark.parametrize("length", [len(ARCHIVE) - 1, len(ARCHIVE) + 1, 0, None])
def test_an_archive_of_another_size_is_never_put_at_the_output(command, length):
    class Cut(Peer):
        async def download(self, _request):
            data = (ARCHIVE + b"x")[:length] if length is not None else PAGE
            return response(200, data, ETag='"one"')

    with Cut() as peer:
        ended = run(command, peer)
    assert ended.status in {7, 8}
    assert not list(command.folder.glob("*.zip"))


def test_an_archive_with_another_digest_is_status_8(command):
    class Flipped(Peer):
        async def download(self, _request):
            return response(200, ARCHIVE[:100] + bytes([ARCHIVE[100] ^ 1]) + ARCHIVE[101:], ETag='"one"')

    with Flipped() as peer:
        ended = run(command, peer)
    assert ended.status == 8
    assert list(command.folder.iterdir()) == []
