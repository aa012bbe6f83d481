"""One socket: the codec's machine on a WebSocket of httpx-ws.

Everything that ends a socket is a `SocketLost` with the reason in words; a server that refuses the sign-in is
`NotAllowed`, since trying again would not help. Silence longer than the server's ping interval and time-out is a lost
socket, and so is a server that takes nothing of what is sent. What came before the end is told before it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import httpx
import httpx_ws
import wsproto.utilities

from exportctl.client import failures
from exportctl.client.frames import Message
from exportctl.client.http import Server
from exportctl.client.websocket import WebSocket, WebSocketEnded
from exportctl.model.errors import NotAllowed
from exportctl.protocol import socketio
from exportctl.protocol.connection import Connection, ReadEvent
from exportctl.protocol.errors import ProtocolError
from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Happening,
)
from exportctl.protocol.jsontext import Value

CONNECT_SECONDS: Final = 10.0
"""How long each step to a socket may take: the connection, the answer to the upgrade, the permission."""
OPEN_SECONDS: Final = 30.0
"""How long all of them may, whatever comes in drops, with a sign-in renewed on the way."""
SEND_SECONDS: Final = 20.0
"""How long a server may take nothing of what is sent."""

Told: TypeAlias = EventReceived | AckReceived


class SocketLost(Exception):
    """The socket is no more, or never was; the reason is in words."""


@dataclass(slots=True, kw_only=True)
class Socket:
    """A connected socket. `receive` and the sending methods may run in two tasks; `receive` in one only."""

    web_socket: WebSocket
    machine: Connection
    on_frame: Callable[[str, str | bytes], None] | None = None
    _told: list[Told] = field(init=False, default_factory=list)
    _is_connected: bool = field(init=False, default=False)
    _end: SocketLost | NotAllowed | None = field(init=False, default=None)

    async def receive(self) -> list[Told]:
        """Return the next events and acknowledgements, at least one, as many as came. Raises `SocketLost`."""
        while not self._told:
            await self._next()
        told, self._told = self._told, []
        return told

    def emit(self, name: str, data: Value) -> int:
        """Queue an event and return the id of the acknowledgement that will answer it; `flush` sends it.

        Two steps, so that the caller waits for the answer before it can come. Raises `SocketLost`.
        """
        try:
            return self.machine.emit(name, data, ack=True)
        except ProtocolError as error:
            raise SocketLost(str(error)) from error

    async def connect(self) -> None:
        """Wait until the server has let us in. Raises `SocketLost`, `NotAllowed`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                while not self._is_connected:
                    await self._next()
        except TimeoutError as error:
            raise SocketLost("the server took the socket and said nothing") from error

    async def _next(self) -> None:
        """Take in what came, a chunk at a time, and answer it. Raises `SocketLost`, `NotAllowed`."""
        if self._end is not None:
            raise self._end
        handshake = self.machine.handshake
        patience = CONNECT_SECONDS if handshake is None else handshake.ping_interval + handshake.ping_timeout
        try:
            messages = await self.web_socket.receive_messages(patience)
        except TimeoutError as error:
            raise SocketLost(f"nothing came for {patience:.0f} s") from error
        except httpx_ws.HTTPXWSException as error:
            raise SocketLost(_words(error)) from error
        if self.on_frame is not None:
            for message in messages:
                self.on_frame("<", message)
        try:
            self._hear(messages)
            await self.flush()
        except ProtocolError as error:
            self._end = SocketLost(f"the server breaks the protocol: {error}")
        except SocketLost as lost:
            self._end = lost

    def _hear(self, messages: list[Message]) -> None:
        told = self._told
        for happening in self.machine.receive_frames(messages):
            match happening:
                case EventReceived() | AckReceived():
                    told.append(happening)
                case _:
                    self._note(happening)

    def _note(self, happening: Happening) -> None:
        match happening:
            case Connected():
                self._is_connected = True
            case ConnectRefused(message=message):
                self._end = NotAllowed(
                    f"the server refused the socket: {message}", hint="check --token-file or EXPORTCTL_TOKEN"
                )
            case Disconnected() | Closed() if self._end is None:
                self._end = SocketLost("the server closed the socket")
            case _:
                pass

    async def flush(self) -> None:
        """Send what is queued. Raises `SocketLost`."""
        frames = self.machine.data_to_send()
        if not frames:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for frame in frames:
                    if self.on_frame is not None:
                        self.on_frame(">", frame)
                    if isinstance(frame, str):
                        await self.web_socket.send_text(frame)
                    else:
                        await self.web_socket.send_bytes(frame)
        except TimeoutError as error:
            raise SocketLost(f"the server took nothing for {SEND_SECONDS:.0f} s") from error
        except wsproto.utilities.LocalProtocolError as error:
            raise SocketLost("the server closed the socket") from error
        except httpx_ws.HTTPXWSException as error:
            raise SocketLost(_words(error)) from error


@asynccontextmanager
async def open_socket(
    http: httpx.AsyncClient,
    server: Server,
    *,
    read_event: ReadEvent = socketio.read_event,
    on_frame: Callable[[str, str | bytes], None] | None = None,
) -> AsyncIterator[Socket]:
    """Open a socket and connect it. Raises `SocketLost`, `NotAllowed`; so may the body.

    `on_frame` hears of each frame, `<` what came and `>` what was sent.
    `read_event` is what its connection reads by. A certificate that is not trusted, and a sign-in that cannot be
    renewed, are raised as what they are.
    """
    auth: dict[str, Value] | None = {"token": server.token} if server.token else None
    connecting: AbstractAsyncContextManager[WebSocket] = httpx_ws.aconnect_ws(
        f"{server.url}/socket.io/?EIO=4&transport=websocket",
        http,
        keepalive_ping_interval_seconds=None,
        timeout=CONNECT_SECONDS,
        session_class=WebSocket,
    )
    try:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    web_socket = await stack.enter_async_context(connecting)
                    machine = Connection(auth=auth, read_event=read_event)
                    socket = Socket(web_socket=web_socket, machine=machine, on_frame=on_frame)
                    await socket.connect()
            except TimeoutError as error:
                raise SocketLost(f"no socket within {OPEN_SECONDS:.0f} s") from error
            yield socket
    except httpx_ws.HTTPXWSException as error:
        raise SocketLost(_words(error)) from error
    except httpx.HTTPError as error:
        problem = failures.from_transport(error, server.url)
        if not failures.is_passing(problem):
            raise problem from error
        raise SocketLost(problem.message) from error


def _words(error: httpx_ws.HTTPXWSException) -> str:
    match error:
        case httpx_ws.WebSocketUpgradeError(response=response):
            return f"no WebSocket here: the answer to the upgrade was {response.status_code}"
        case WebSocketEnded():
            return str(error)
        case _:
            return "the connection broke"
