"""What stands in front of python-socketio, and keeps what Engine.IO 4 and Socket.IO 5 promise where it does not.

By the protocols' own conformance suites it answers unknown transports and methods as if they were good, lets a session
be polled twice at once or polled on behind an abandoned poll, loses what is in a malformed payload without a word,
leaves a poll hanging when its session is closed, and goes on behind packets that are none. Here such requests are
refused, and such sessions end, before it sees them; bodies are read whole, bounded in size and time.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

import socketio
from engineio.packet import NOOP, Packet
from engineio.payload import Payload
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exportctl.server.handshakes import (
    BAD_REQUEST,
    NO_SOCKET,
    SESSION_UNKNOWN,
    Problem,
    answer,
    is_at,
    problem_of,
    refuse,
)
from exportctl.server.messages import body_of, disconnected, numbered, once, to_socket
from exportctl.server.packets import Packets
from exportctl.server.reading import Reading

PACKETS: Final = 10_000
"""In one POST; the library's own 16 is less than what a client sends that was away for a while."""
MOST_ANSWERS: Final = 1000
"""Packets that may wait for a client that goes on asking: then it is not heard until it has taken some."""

UPGRADE_SECONDS: Final = 0.1
"""How long a request is held while its session is about to leave its polls: as the official implementation does."""
_BEHIND: Final = 0.01

_SESSION: Final = "exportctl.session"
"""Where a request's scope has the session that it opened."""
_SEPARATOR = "\x1e"


_ENDED: Final = "exportctl_ended"


def hang_up(session: Any) -> None:
    """End the websocket of a session that is over: its client may keep it open for as long as it likes."""
    ended = getattr(session, _ENDED, None)
    if ended is not None and not ended.done():
        ended.set_result(None)


class Server(socketio.AsyncServer):  # type: ignore[misc]  # the library publishes no types
    """Socket.IO's server, that says of a namespace it does not have what the official one says.

    `on_open` is told of every session that is opened.
    """

    on_open: Callable[[str], Awaitable[None]] | None = None

    async def _handle_eio_connect(self, eio_sid: str, environ: Any) -> None:
        environ["asgi.scope"][_SESSION] = eio_sid
        await super()._handle_eio_connect(eio_sid, environ)
        if self.on_open is not None:
            await self.on_open(eio_sid)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        if self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is None:
            await super()._handle_connect(eio_sid, namespace, data)
            return
        # Whoever is connected cannot connect: the official server ends the session without a word.
        session = self.eio.sockets[eio_sid]
        await session.close(wait=False, abort=True, reason=self.reason.SERVER_DISCONNECT)
        hang_up(session)

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        if pkt.packet_type == socketio.packet.CONNECT_ERROR and pkt.data == "Unable to connect":
            pkt.data = {"message": "Invalid namespace"}
        await super()._send_packet(eio_sid, pkt)


class Doorway:
    """An ASGI application before `app`, which mounts `server` (an engineio.AsyncServer) at `path`.

    `reading` makes the judge of one session's packets.
    """

    def __init__(self, server: Any, app: ASGIApp, path: str, reading: Callable[[], Reading] = Reading) -> None:
        self._server = server
        self._reading = reading
        self._sessions: WeakKeyDictionary[Any, Reading] = WeakKeyDictionary()
        self._app = app
        self._path = path
        self._polls: dict[str, object] = {}
        self._upgrades: dict[str, asyncio.Event] = {}
        # Closed by their client, whose last poll may come behind that: it is answered as if it had come before.
        self._left: deque[str] = deque(maxlen=1000)
        Payload.max_decode_packets = PACKETS
        server.create_queue = Packets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "websocket" and (scope["type"] != "http" or not is_at(self._path, scope)):
            await self._app(scope, receive, send)
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        sid = query.get("sid", [None])[0]
        socket = self._server.sockets.get(sid) if sid is not None else None
        problem = await self._problem(scope, query, socket)
        if problem == SESSION_UNKNOWN and sid in self._left and scope["type"] == "http":
            self._left.remove(sid)
            await answer(send, 200, b"6", b"text/plain; charset=UTF-8")
        elif problem is not None:
            await refuse(scope, receive, send, problem)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send, socket)
        elif scope["method"] == "GET" and socket is not None:
            await self._poll(scope, receive, send, socket)
        elif scope["method"] == "POST" and socket is not None:
            await self._post(scope, receive, send, socket)
        else:
            await self._app(scope, receive, send)

    async def _problem(self, scope: Scope, query: dict[str, list[str]], socket: Any) -> Problem | None:
        if not is_at(self._path, scope):
            return NO_SOCKET
        problem = problem_of(scope, query)
        if problem is not None or "sid" not in query:
            return problem
        if socket is None or socket.closed or not await _is_alive(socket):
            return SESSION_UNKNOWN
        return BAD_REQUEST if await self._is_anothers(scope, socket) else None

    async def _is_anothers(self, scope: Scope, socket: Any) -> bool:
        """Say whether a session has a socket, or for a second socket: is about to. A request waits for that shortly."""
        upgrade = self._upgrades.get(socket.sid)
        if upgrade is None:
            return bool(socket.upgraded)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(upgrade.wait(), UPGRADE_SECONDS)
            await asyncio.sleep(_BEHIND)  # no refusal overtakes what is said over the socket
        return upgrade.is_set() or scope["type"] == "websocket"

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, socket: Any) -> None:
        """Let packets through until one is malformed: then the client is gone, as far as anybody knows."""
        reading, upgraded = self._reading() if socket is None else self._reading_of(socket), asyncio.Event()
        if socket is not None:
            self._upgrades[socket.sid] = upgraded
        come = self._until_ended(scope, receive, socket)

        async def checked() -> Message:
            message = await come()
            if message["type"] == "websocket.receive":
                text = message.get("text")
                # Of one that has said that it leaves the library would wait for more.
                if text == "1" or not reading.is_packet(message.get("bytes") or b"" if text is None else text):
                    return {"type": "websocket.disconnect", "code": 1002}
                if text == "5":
                    upgraded.set()
                await _room(socket or self._server.sockets.get(scope.get(_SESSION)))
            return message

        try:
            await self._app(scope, checked, to_socket(send))
        finally:
            if socket is not None:
                self._upgrades.pop(socket.sid, None)
                if not socket.upgraded:
                    # The upgrade failed: the session is polled on.
                    socket.upgrading = False

    def _until_ended(self, scope: Scope, receive: Receive, socket: Any) -> Receive:
        """Return a `receive` that says that the client is gone once its session was hung up."""
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def come() -> Message:
            its = socket or self._server.sockets.get(scope.get(_SESSION))
            if its is not None:
                setattr(its, _ENDED, ended)
            receiving: asyncio.Future[Any] = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({receiving, ended}, return_when=asyncio.FIRST_COMPLETED)
                return receiving.result() if receiving.done() else {"type": "websocket.disconnect", "code": 1001}
            finally:
                receiving.cancel()

        return come

    async def _poll(self, scope: Scope, receive: Receive, send: Send, socket: Any) -> None:
        """Have one poll at a time; a second one, or giving it up, ends the session."""
        sid, poll, is_answered = socket.sid, object(), False
        if sid in self._polls and not socket.upgrading:
            await socket.close(wait=False, reason=self._server.reason.TRANSPORT_ERROR)
            await refuse(scope, receive, send, BAD_REQUEST)
            return
        self._polls[sid] = poll

        async def answering(message: Message) -> None:
            nonlocal is_answered
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            # The client may poll again as soon as it has the answer, which is before this poll has come to its end.
            self._forget(sid, poll)
            await send(message)

        request = await receive()
        polling = asyncio.create_task(self._pass_on(scope, once(request, receive), answering, socket))
        leaving = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait([polling, leaving], return_when=asyncio.FIRST_COMPLETED)
            if polling.done() or is_answered:
                await polling
            else:
                await self._end(socket)
        finally:
            self._forget(sid, poll)
            for task in (polling, leaving):
                task.cancel()
            await asyncio.gather(polling, leaving, return_exceptions=True)
            if socket.closed:
                self._server.sockets.pop(sid, None)

    def _forget(self, sid: str, poll: object) -> None:
        if self._polls.get(sid) is poll:
            del self._polls[sid]

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, socket: Any) -> None:
        if socket.closed:
            # Since this task was made.
            await answer(send, 200, b"6", b"text/plain; charset=UTF-8")
        else:
            await self._app(scope, receive, numbered(scope, receive, send))

    async def _post(self, scope: Scope, receive: Receive, send: Send, socket: Any) -> None:
        """Let a body through that is whole and well-formed; any other ends the session."""
        body = await body_of(receive)
        if body is None or not self._are_packets(body, socket):
            await self._end(socket)
            await refuse(scope, receive, send, BAD_REQUEST)
            return
        await _room(socket)
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
        whole = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        request: Message = {"type": "http.request", "body": body, "more_body": False}

        async def ok(message: MutableMapping[str, Any]) -> None:
            if message.get("body") == b"OK":
                message = {**message, "body": b"ok"}
            await send(message)

        await self._app(whole, once(request, receive), numbered(scope, receive, ok))
        if socket.closed:
            if socket.sid not in self._polls:
                self._left.append(socket.sid)
            await self._end(socket)

    def _reading_of(self, socket: Any) -> Reading:
        return self._sessions.setdefault(socket, self._reading())

    def _are_packets(self, body: bytes, socket: Any) -> bool:
        try:
            packets = body.decode().split(_SEPARATOR)
        except UnicodeDecodeError:
            return False
        reading = self._reading_of(socket)
        return len(packets) <= PACKETS and all(reading.is_packet(one) and not one.startswith("2") for one in packets)

    async def _end(self, socket: Any) -> None:
        """End a session without a word; a poll that waits is answered with a packet that says nothing."""
        with contextlib.suppress(Exception):
            # Whatever it makes of that: the session is not known any more below.
            await socket.close(wait=False, abort=True, reason=self._server.reason.TRANSPORT_ERROR)
        socket.queue.put_nowait(Packet(NOOP))
        if socket.sid not in self._polls:
            self._server.sockets.pop(socket.sid, None)


async def _room(socket: Any) -> None:
    """Return when few answers wait for a session's client: one that takes none is not heard any more."""
    pause = _BEHIND
    while socket is not None and not socket.closed and socket.queue.qsize() > MOST_ANSWERS:
        # The queue tells nobody that it drained.
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)


async def _is_alive(socket: Any) -> bool:
    """Say whether the session's client has answered its pings: the library looks only now and then."""
    try:
        return bool(await socket.check_ping_timeout())
    except Exception:  # noqa: BLE001 - it raises for a session that is closed, by its own types
        return False
