"""One socket: the codec's machine on a WebSocket of httpx-ws.

Everything that ends a socket is a `SocketLost` with the reason in words; a server that refuses the sign-in is
`NotAllowed`, since trying again would not help. Silence longer than the server's ping interval and time-out is a lost
socket.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import httpx_ws
import wsproto.events

from exportctl.client import failures
from exportctl.client.http import Server
from exportctl.model.errors import NotAllowed
from exportctl.protocol.connection import Connection
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


class SocketLost(Exception):
    """The socket is no more, or never was; the reason is in words."""


@dataclass(slots=True, kw_only=True)
class Socket:
    """A connected socket. `receive` and the sending methods may run in two tasks; `receive` in one only."""

    web_socket: httpx_ws.AsyncWebSocketSession
    machine: Connection

    async def receive(self) -> list[EventReceived | AckReceived]:
        """Return the next events and acknowledgements, at least one. Raises `SocketLost`."""
        while True:
            told: list[EventReceived | AckReceived] = []
            for happening in await self._next():
                match happening:
                    case EventReceived() | AckReceived():
                        told.append(happening)
                    case Disconnected() | Closed():
                        raise SocketLost("the server closed the socket")
                    case _:
                        pass
            if told:
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
                while True:
                    for happening in await self._next():
                        match happening:
                            case Connected():
                                return
                            case ConnectRefused(message=message):
                                raise NotAllowed(
                                    f"the server refused the socket: {message}",
                                    hint="check --token-file or EXPORTCTL_TOKEN",
                                )
                            case Disconnected() | Closed():
                                raise SocketLost("the server closed the socket")
                            case _:
                                pass
        except TimeoutError as error:
            raise SocketLost("the server took the socket and said nothing") from error

    async def _next(self) -> list[Happening]:
        handshake = self.machine.handshake
        patience = CONNECT_SECONDS if handshake is None else handshake.ping_interval + handshake.ping_timeout
        try:
            message = await self.web_socket.receive(timeout=patience)
            match message:
                case wsproto.events.TextMessage(data=text):
                    happenings = self.machine.receive_text(text)
                case wsproto.events.BytesMessage(data=data):
                    happenings = self.machine.receive_bytes(bytes(data))
                case _:
                    happenings = []
        except TimeoutError as error:
            raise SocketLost(f"nothing came for {patience:.0f} s") from error
        except ProtocolError as error:
            raise SocketLost(f"the server breaks the protocol: {error}") from error
        except httpx_ws.HTTPXWSException as error:
            raise SocketLost(_words(error)) from error
        await self.flush()
        return happenings

    async def flush(self) -> None:
        """Send what is queued. Raises `SocketLost`."""
        try:
            for frame in self.machine.data_to_send():
                if isinstance(frame, str):
                    await self.web_socket.send_text(frame)
                else:
                    await self.web_socket.send_bytes(frame)
        except httpx_ws.HTTPXWSException as error:
            raise SocketLost(_words(error)) from error


@asynccontextmanager
async def open_socket(http: httpx.AsyncClient, server: Server) -> AsyncIterator[Socket]:
    """Open a socket and connect it.

    Raises `SocketLost`, `NotAllowed`; so may the body, and it comes out as it was raised.
    """
    auth: dict[str, Value] | None = {"token": server.token} if server.token else None
    raised: BaseException | None = None
    try:
        web_socket: httpx_ws.AsyncWebSocketSession
        async with httpx_ws.aconnect_ws(
            f"{server.url}/socket.io/?EIO=4&transport=websocket",
            http,
            keepalive_ping_interval_seconds=None,
            timeout=httpx.Timeout(CONNECT_SECONDS, read=None),
        ) as web_socket:
            try:
                socket = Socket(web_socket=web_socket, machine=Connection(auth=auth))
                await socket.connect()
                yield socket
            except BaseException as error:
                raised = error
                raise
    except httpx_ws.HTTPXWSException as error:
        raise SocketLost(_words(error)) from error
    except httpx.HTTPError as error:
        raise SocketLost(failures.from_transport(error, server.url).message) from error
    except BaseExceptionGroup as group:
        # httpx-ws runs a task group around the body: what was raised in there comes out wrapped.
        if raised is not None and not isinstance(raised, asyncio.CancelledError):
            raise raised from group
        raise _of_its_own(group) from group


def _of_its_own(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the loss that the failure of httpx-ws's own task is: a pong nobody asked for is a `KeyError` there."""
    error = group.exceptions[0]
    match error:
        case BaseExceptionGroup():
            return _of_its_own(error)
        case httpx_ws.HTTPXWSException():
            return SocketLost(_words(error))
        case Exception():
            return SocketLost(f"the WebSocket broke ({type(error).__name__})")
        case _:
            return error


def _words(error: httpx_ws.HTTPXWSException) -> str:
    match error:
        case httpx_ws.WebSocketUpgradeError(response=response):
            return f"no WebSocket here: the answer to the upgrade was {response.status_code}"
        case httpx_ws.WebSocketDisconnect(code=code):
            return f"the socket was closed ({code})"
        case _:
            return "the connection broke"
