"""A server on a loopback port, in the test's own loop, that answers as it is told to; and a download from it.

Each test scripts the answers: one function a request, the last of them for all that follow.
"""

import asyncio
import contextlib
import hashlib
import io
import re
import time
import zipfile
from dataclasses import dataclass, field

import httpx

from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.download import Download
from exportctl.client.http import Server
from exportctl.client.pace import Pace
from exportctl.model.errors import ExportctlError

JOB, PROJECT = "6f0c2b7e-1111-4222-8333-944445555666", "nuclei"


def make_archive(seed=1):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for number in range(4):
            made.writestr(f"images/{number}.bin", bytes((seed * 31 + number + at * at) % 256 for at in range(60_000)))
    return content.getvalue()


WHOLE, OTHER = make_archive(), make_archive(2)
SIZE = len(WHOLE)
DIGEST = hashlib.sha256(WHOLE).hexdigest()
CUT = 100_000


@dataclass
class Asked:
    """A request, and the connection to answer it on."""

    headers: dict
    writer: asyncio.StreamWriter
    method: str = "GET"
    line: str = ""

    @property
    def offset(self):
        """From where an archive in the making is wanted; None where it is the finished one."""
        found = re.search(r"[?]live=1&offset=(\d+) ", self.line)
        return int(found[1]) if found else None

    def live(self, content=WHOLE, *, etag='"v1"', until=None, ends=True, **headers):
        """Answer with the bytes of an archive in the making up to `until`; then end, be cut, or with None stay open."""
        piece = content[self.offset : until]
        body = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self.say(200, {"Transfer-Encoding": "chunked", "ETag": etag, **headers}, body)
        if ends:
            self.writer.write(b"0\r\n\r\n")
        elif ends is not None:
            self.writer.close()

    @property
    def start(self):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None

    def say(self, status, headers, body=b""):
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + (b"" if self.method == "HEAD" else body))

    def whole(self, content=WHOLE, *, etag='"v1"', until=None, **headers):
        """Answer 200; with `until` the connection is cut after so many bytes."""
        self.say(200, {"Content-Length": len(content), "ETag": etag, **headers}, content[:until])
        if until is not None:
            self.writer.close()

    def honest(self, content=WHOLE, *, etag='"v1"', until=None):
        """Answer as the protocol says, a range where it holds."""
        if self.start is None or self.headers.get("if-range") != etag:
            self.whole(content, etag=etag, until=until)
        else:
            self.part(content, self.start, etag=etag, until=until)

    def part(self, content, start, *, etag='"v1"', until=None, content_range=None):
        said = content_range or f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self.say(206, {"Content-Length": len(body), "ETag": etag, "Content-Range": said}, body[:until])
        if until is not None:
            self.writer.close()

    def refuse(self, status, body=b'{"success": false, "error": "no"}'):
        self.say(status, {"Content-Length": len(body), "Content-Type": "application/json"}, body)


@dataclass
class Peer:
    """The server: its answers in order, and what it was asked."""

    answers: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    url: str = ""
    serving: set = field(default_factory=set)

    async def serve(self, reader, writer):
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
                asked = Asked(
                    {name.lower(): value for name, value in lines},
                    writer,
                    head.partition(" ")[0],
                    head.split("\r\n")[0],
                )
                self.asked.append(asked)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                answer(asked)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def open_peer():
    """Serve on a free port."""
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield peer


@dataclass
class Bench:
    """A download with a clock of its own: its lines, and the seconds that it slept."""

    peer: Peer
    http: httpx.AsyncClient
    lines: list = field(default_factory=list)
    slept: list = field(default_factory=list)
    now: float = 0.0
    real_time: bool = False

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def download(self, *, size=SIZE, sha256=DIGEST, limit=None, **options):
        server = Server(url=self.peer.url, correlation_id="c", token="secret")
        pace = Pace(
            job_id=JOB,
            project_id=PROJECT,
            tell=self.lines.append,
            monotonic=lambda: time.monotonic() if self.real_time else self.now,
            sleep=self.sleep,
            limit=limit,
        )
        return Download(
            api=Api(http=self.http, server=server),
            archive=Archive(project_id=PROJECT, job_id=JOB, size=size, sha256=sha256),
            pace=pace,
            tell=self.lines.append,
            sleep=self.sleep,
            jitter=lambda: 1.0,
            **options,
        )

    def logged(self):
        return [line.code for line in self.lines if line.event == "log"]

    def progress(self):
        return [line.progress for line in self.lines if line.event == "export:progress" and line.progress is not None]


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


async def fetched(bench, target, **options):
    """Return what came of it: the bytes at the target, or the error's class."""
    try:
        saved = await bench.download(**options).to_file(target, overwrite=False)
    except ExportctlError as error:
        assert not target.exists()
        return type(error)
    assert saved.verified
    assert saved.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert names(target) == [target.name]
    return target.read_bytes()
