"""A small server for tests that obeys protocol 2 where a test does not make it break it, byte by byte if need be.

A test subclasses `Peer` and overrides the manner it is about. HTTP and WebSocket are written by hand here, since no
library would send what these tests send. One thread with a loop of its own; use as a context manager.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import itertools
import ssl
import struct
import subprocess
import threading
import zipfile
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlsplit

import orjson

from system.processes import Command, Ended, end_of
from system.telling import check_form, story

PROJECT = "5d1f2c1e-0000-4000-8000-00000000aaaa"
JOB = "6f0c2b7e-0000-4000-8000-00000000bbbb"
TOKEN = "a-token-of-the-tests"


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("README.md", "An export of nothing.\n" * 50)
    return made.getvalue()


ARCHIVE = archive()
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
SILENCE = b'0{"sid":"s","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}'
"""A handshake that makes half a second's silence the end of the socket."""


def history() -> list[tuple[str, dict]]:
    """Return the log of a good job."""
    progress = {"phase": "processing", "stage": "images", "message": "Copying", "template": "export.stage.images"}
    told = [
        ("export:started", {"projectName": "plates", "options": {}, "phase": "processing", "total": 4}),
        *(("export:progress", progress | {"progress": 25 * step}) for step in (1, 2, 3, 4)),
        ("export:phase-changed", {"fromPhase": "processing", "toPhase": "downloading", "progress": 100}),
        ("export:download-ready", {"fileName": "plates.zip", "fileSize": len(ARCHIVE), "sha256": SHA256}),
        ("export:completed", {"warnings": [], "processingTime": 1.5, "stages": {"images": 1.5}}),
    ]
    return [(name, envelope(seq) | data) for seq, (name, data) in enumerate(told, start=1)]


def envelope(seq: int, job: str = JOB) -> dict:
    return {
        "jobId": job,
        "projectId": PROJECT,
        "seq": seq,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "correlationId": "c",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the command."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def response(status: int, body: object, **headers: str) -> bytes:
    """Return a whole answer; a `bytes` body goes as it is, anything else as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = {"Content-Type": "application/json", "Export-Protocol": "2", "Content-Length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content


def frame(payload: bytes, *, opcode: int = 1, final: bool = True) -> bytes:
    """Return one WebSocket frame of a server (RFC 6455, section 5.2)."""
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else struct.pack("!BH", 126, size)
        if size < 2**16
        else struct.pack("!BQ", 127, size)
    )
    return bytes([opcode | (0x80 if final else 0)]) + length + payload


def packet(name: str, data: object) -> bytes:
    """Return an event as the payload of a frame. `data` in bytes is JSON already, however wrong."""
    text = data if isinstance(data, bytes) else orjson.dumps(data)
    return b'42["' + name.encode() + b'",' + text + b"]"


@dataclass(slots=True)
class Web:
    """The server's end of one WebSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, payload: bytes) -> None:
        await self.raw(frame(payload))

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> bytes:
        """Return the payload of the next text frame. Raises IncompleteReadError at the end, and for a close frame."""
        while True:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            mask = await self.reader.readexactly(4)
            data = await self.reader.readexactly(size)
            if first & 0x0F == 8:
                raise asyncio.IncompleteReadError(b"", None)
            if first & 0x0F == 1:
                return bytes(one ^ key for one, key in zip(data, itertools.cycle(mask), strict=False))


class Peer:
    """The server. `log` is the job's; with `tls` it is reached over TLS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.log = history()
        self.status = "completed"
        self.requests: list[Request] = []
        self.sockets: list[Web] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task] = set()

    # What a test overrides

    async def handle(self, request: Request) -> bytes:
        """Answer a request other than the handshake; the routes of protocol 2."""
        match request.path.strip("/").split("/"):
            case ["api", "projects"]:
                project = {"id": PROJECT, "title": "plates", "imageCount": 4}
                return response(200, {"success": True, "projects": [project], "pagination": {"totalPages": 1}})
            case ["api", "projects", _, "export"]:
                return await self.start(request)
            case [*_, "status"] | ["api", "export", _]:
                return await self.look(request)
            case [*_, "events"]:
                return await self.events(request)
            case [*_, "download"]:
                return await self.download(request)
        return response(404, {"success": False, "error": "no such thing", "code": "NOT_FOUND"})

    async def start(self, _request: Request) -> bytes:
        return response(200, {"success": True, "jobId": JOB, "message": "started", "lastSeq": 0})

    async def look(self, _request: Request) -> bytes:
        return response(200, {"id": JOB, "projectId": PROJECT, "status": self.status, "lastSeq": len(self.log)})

    async def events(self, request: Request) -> bytes:
        after = int(request.query["after"])
        found = [{"event": name, "data": data} for name, data in self.log[after:]]
        if not found:
            await asyncio.sleep(min(1.0, float(request.query.get("wait", 0))))
        return response(200, {"events": found, **self.facts()})

    async def download(self, _request: Request) -> bytes:
        return response(200, ARCHIVE, ETag='"one"', Content_Type="application/zip", Accept_Ranges="bytes")

    async def upgrade(self, request: Request, web: Web) -> None:
        """Take the handshake; what is raised hangs up."""
        key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        head = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        await web.raw(f"{head}{accept}\r\n\r\n".encode())
        await self.talk(web)

    async def talk(self, web: Web) -> None:
        """Speak Socket.IO over a socket that is up."""
        await web.send(b'0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
        while not (await web.receive()).startswith(b"40"):
            pass
        await web.send(b'40{"sid":"t"}')
        self.sockets.append(web)
        await self.connected(web)
        while True:
            said = await web.receive()
            if said.startswith(b"42"):
                digits = len(said[2:]) - len(said[2:].lstrip(b"0123456789"))
                name, data = orjson.loads(said[2 + digits :])
                if name == "export:subscribe":
                    await self.subscribe(web, data, said[2 : 2 + digits])

    async def connected(self, web: Web) -> None:
        """Do what a socket is greeted with."""

    async def subscribe(self, web: Web, data: dict, ack: bytes) -> None:
        await self.tell(web, data["after"])
        await self.acknowledge(web, ack, {"ok": True, "protocol": 2, **self.facts()})

    # What tests use

    def facts(self) -> dict:
        return {"log": "the-log", "lastSeq": len(self.log), "status": self.status, "gap": False}

    async def tell(self, web: Web, after: int = 0) -> None:
        for name, data in self.log[after:]:
            await web.send(packet(name, data))

    async def acknowledge(self, web: Web, ack: bytes, answer: object) -> None:
        await web.send(b"43" + ack + orjson.dumps([answer]))

    # The machinery

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="peer")
        self._thread.start()
        listening = asyncio.start_server(self._taken, "127.0.0.1", 0, ssl=self.tls)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        scheme = "http" if self.tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.taken(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _read(reader)
            self.requests.append(request)
            if request.path == "/socket.io/":
                await self.upgrade(request, Web(reader, writer))
                return
            writer.write(await self.handle(request))
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    address = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    return Request(method=method, path=address.path, query=query, headers=headers, body=body)


def for_ever(web: Web, data: bytes):
    """Send this again and again until the command hangs up."""

    async def sending() -> None:
        with contextlib.suppress(OSError):
            while True:
                await web.raw(data)
                await asyncio.sleep(0.001)

    return sending()


def begin(command: Command, peer: Peer, *more: object) -> subprocess.Popen:
    """Start the main job against the server."""
    arguments = ["run", "plates", "--server", peer.url, "--token", TOKEN, "--ndjson", "--progress", "none"]
    return command.start(*arguments, "--poll-interval", "0.3", *more)


def finish(process: subprocess.Popen, command: Command, peer: Peer, patience: float) -> Ended:
    """Wait for the end and check the form of what was told."""
    ended = end_of(process, patience, type(peer).__name__)
    check_form(ended, command)
    return ended


def run(command: Command, peer: Peer, *more: object, patience: float = 40.0) -> Ended:
    """Run the main job against the server and check the form of what it tells."""
    return finish(begin(command, peer, *more), command, peer, patience)


def check_good(ended: Ended, command: Command) -> None:
    """Assert the end of the good job that `history` is: told whole, once, in order, and its archive on disk."""
    assert (ended.status, ended.stderr) == (0, ""), ended.lines
    assert [line["serverSeq"] for line in story(ended)] == list(range(1, len(history()) + 1))
    [path] = command.folder.iterdir()
    assert path.read_bytes() == ARCHIVE
    assert ended.result["sha256"] == SHA256


def check_unreachable(ended: Ended, command: Command) -> None:
    """Assert an end without an answer that makes sense, in words, with nothing left."""
    assert ended.status == 7, ended.lines
    assert ended.stderr.startswith("exportctl: error: ")
    assert list(command.folder.iterdir()) == []
