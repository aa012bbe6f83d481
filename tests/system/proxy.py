"""The fault lab's proxy: between the command and a server, TCP level, and at the right moment unkind.

A `Fault` is a moment and an act. Moments are counts, never times: events of the server that have gone by, bytes that
have gone either way, connections taken; all counted from the proxy's start over all connections. Byte moments are
exact: the act happens between byte n and byte n + 1. Acts that last are bounded by a count or by a part of a second, so
that after the last one everything goes through again. One thread with a loop of its own; use as a context manager.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

_EVENT = b'"seq":'
"""What every event of protocol 2 holds once, on the socket and in an answer of `/events`."""
_METHODS = (b"GET ", b"POST ", b"HEAD ")
_PAGE = b"<!doctype html><html><body><h1>The gateway is having a moment</h1></body></html>"

Way = Literal["down", "up"]
"""From the server to the command, or the other way."""


@dataclass(frozen=True, slots=True)
class After:
    """A moment: `count` of these have gone by."""

    count: int
    what: Literal["events", "down", "up", "connections"]


@dataclass(frozen=True, slots=True)
class Cut:
    """Break all connections: by reset, or by a clean end that comes too early."""

    by: Literal["reset", "end"]


@dataclass(frozen=True, slots=True)
class Stall:
    """Let nothing through for a while; nothing is lost."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tear:
    """Send the next bytes that way one by one."""

    way: Way
    size: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold each of the next chunks that way back for a moment."""

    way: Way
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RefuseUpgrades:
    """Answer the next WebSocket handshakes with this status."""

    status: int
    count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the next requests other than handshakes with this status and a page of HTML."""

    status: int
    count: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Take the next connections and reset them."""

    count: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Break all connections and listen to none for a while: connections are refused."""

    seconds: float


Act = Cut | Stall | Tear | Delay | RefuseUpgrades | Answer | Refuse | Leave


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, and when."""

    at: After
    act: Act


@dataclass(eq=False, slots=True)
class _Connection:
    """One connection of the command and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tail: bytes = b""
    is_socket: bool = False
    is_over: bool = False

    def end(self, by: str) -> None:
        self.is_over = True
        for writer in (self.client, self.server):
            if by == "reset":
                _reset(writer)
            else:
                writer.close()


@dataclass(slots=True)
class Proxy:
    """Stands before the server at `upstream` with a schedule of faults. `happened` says what it did, for messages.

    `event` is what every event of the server holds once.
    """

    upstream: str
    faults: tuple[Fault, ...] = ()
    event: bytes = _EVENT
    url: str = field(init=False, default="")
    seen: Counter[str] = field(init=False, default_factory=Counter)
    happened: list[str] = field(init=False, default_factory=list)
    _pending: list[Fault] = field(init=False, default_factory=list)
    _connections: set[_Connection] = field(init=False, default_factory=set)
    _tearing: Counter[str] = field(init=False, default_factory=Counter)
    _delays: dict[str, tuple[int, float]] = field(init=False, default_factory=dict)
    _upgrades: list[int] = field(init=False, default_factory=list)
    _answers: list[int] = field(init=False, default_factory=list)
    _refusals: int = field(init=False, default=0)
    _through: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _port: int = field(init=False, default=0)
    _listener: asyncio.Server | None = field(init=False, default=None)
    _tasks: set[asyncio.Task] = field(init=False, default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(init=False, default_factory=asyncio.new_event_loop)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._pending = list(self.faults)
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def do(self, act: Act) -> None:
        """Do this now."""
        asyncio.run_coroutine_threadsafe(self._do(act), self._loop).result(10)

    async def _open(self) -> None:
        self._through.set()
        await self._listen()
        self._check()

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.end("reset")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._taken, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _keep(self, task: asyncio.Task) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count("connections", 1)
        if self._refusals:
            self._refusals -= 1
            _reset(writer)
            return
        address = urlsplit(self.upstream)
        try:
            server_reader, server = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            _reset(writer)  # the server is away: so is whoever stands before it
            return
        connection = _Connection(writer, server)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, reader, server, "up"))
                group.create_task(self._pump(connection, server_reader, writer, "down"))
        finally:
            connection.end("end")
            self._connections.discard(connection)

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        with contextlib.suppress(OSError):
            while not connection.is_over and (chunk := await reader.read(65_536)):
                if way == "up" and not connection.is_socket and chunk.startswith(_METHODS):
                    status = self._judge(connection, chunk)
                    if status is not None:
                        await _answer(connection, status)
                        return
                await self._carry(connection, writer, way, chunk)
            if not connection.is_over and way == "up":
                return  # the command has no more to say; the answer may be still to come
        if not connection.is_over:
            await self._through.wait()
            connection.end("end")

    def _judge(self, connection: _Connection, head: bytes) -> int | None:
        """Return the status this request is to be answered with in place of the server's answer."""
        if b"/socket.io/" in head.split(b"\r\n", 1)[0]:
            connection.is_socket = True
            waiting = self._upgrades
        else:
            waiting = self._answers
        if not waiting:
            return None
        status = waiting.pop(0)
        self.happened.append(f"answered {head.split(b' HTTP', 1)[0].decode()} with {status}")
        return status

    async def _carry(self, connection: _Connection, writer: asyncio.StreamWriter, way: Way, chunk: bytes) -> None:
        left, seconds = self._delays.get(way, (0, 0.0))
        if left:
            self._delays[way] = (left - 1, seconds)
            await asyncio.sleep(seconds)
        while chunk:
            await self._through.wait()
            if connection.is_over:
                return
            size = min(
                [len(chunk), *(fault.at.count - self.seen[way] for fault in self._pending if fault.at.what == way)]
            )
            if self._tearing[way]:
                self._tearing[way] -= 1
                size = 1
                await asyncio.sleep(0)
            piece, chunk = chunk[:size], chunk[size:]
            writer.write(piece)
            await writer.drain()
            if way == "down":
                told = connection.tail + piece
                self.seen["events"] += told.count(self.event)
                connection.tail = told[-(len(self.event) - 1) :]
            self._count(way, size)

    def _count(self, what: str, number: int) -> None:
        self.seen[what] += number
        self._check()

    def _check(self) -> None:
        """Let happen what is due."""
        for fault in [fault for fault in self._pending if self.seen[fault.at.what] >= fault.at.count]:
            self._pending.remove(fault)
            self._begin(fault.act)

    async def _do(self, act: Act) -> None:
        self._begin(act)

    def _begin(self, act: Act) -> None:
        self.happened.append(f"{act} at {dict(self.seen)}")
        match act:
            case Cut(by=by):
                for connection in list(self._connections):
                    connection.end(by)
            case Stall(seconds=seconds):
                self._through.clear()
                self._loop.call_later(seconds, self._through.set)
            case Tear(way=way, size=size):
                self._tearing[way] += size
            case Delay(way=way, chunks=chunks, seconds=seconds):
                self._delays[way] = (chunks, seconds)
            case RefuseUpgrades(status=status, count=count):
                self._upgrades += [status] * count
            case Answer(status=status, count=count):
                self._answers += [status] * count
            case Refuse(count=count):
                self._refusals += count
            case Leave(seconds=seconds):
                self._keep(self._loop.create_task(self._leave(seconds)))

    async def _leave(self, seconds: float) -> None:
        assert self._listener is not None
        self._listener.close()
        for connection in list(self._connections):
            connection.end("reset")
        await asyncio.sleep(seconds)
        await self._listen()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _answer(connection: _Connection, status: int) -> None:
    """Answer as a gateway does that has lost its server, and hang up."""
    head = (
        f"HTTP/1.1 {status} No\r\nContent-Type: text/html\r\nContent-Length: {len(_PAGE)}\r\nConnection: close\r\n\r\n"
    )
    connection.client.write(head.encode() + _PAGE)
    await connection.client.drain()
    connection.is_over = True
    connection.client.close()
    connection.server.close()
