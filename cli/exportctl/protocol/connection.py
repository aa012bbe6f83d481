"""The client's side of one connection, Engine.IO 4 and Socket.IO 5 together, without the transport.

Whoever owns the transport drives it: every frame that came goes into `receive_text` or `receive_bytes`, those that came
at once into `receive_frames`, a polling body into `receive_payload`, and the end of the transport into `receive_eof`;
each tells what happened. After every call, in either direction, what `data_to_send` (WebSocket) or `payloads_to_send`
(polling) returns is put on the transport: pongs and the request to connect are in there too. One Connection serves one
transport; every attempt makes a new one.

Rules:

- The life cycle is the table in `lifecycle`. A fact that is not in the row of the current state is the peer's error.
- The peer can cause a RemoteProtocolError and nothing else, and at most once: the state is CLOSED then, and a close
  packet is in the outbox (for polling; a WebSocket is simply closed behind it). What still comes is ignored.
- Only the main namespace is ours. Packets of others are ignored, as in the reference client.
- Heartbeats are answered here and timed outside: `Opened.handshake` says how long silence may last.

The specifications are https://github.com/socketio/engine.io-protocol (EIO) and https://github.com/socketio/socket.io-protocol
(SIO); where they are silent, the comment names whose example is followed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, assert_never, overload

from exportctl.protocol import engineio, socketio
from exportctl.protocol.errors import (
    LimitExceededError,
    LocalProtocolError,
    MalformedPacketError,
    RemoteProtocolError,
    UnexpectedPacketError,
)
from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    ClosedBy,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Happening,
    Ignored,
    Opened,
)
from exportctl.protocol.jsontext import Value
from exportctl.protocol.lifecycle import NEXT, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken from the peer before it is refused as a RemoteProtocolError."""

    frame: int = 16 * 2**20
    """The characters or bytes of one packet."""

    payload: int = 64 * 2**20
    """The characters of one polling body."""

    attachments: int = socketio.MAX_ATTACHMENTS
    """The binary attachments of one packet."""

    early_events: int = 1000
    """The events that wait for the server's permission to connect."""


DEFAULT_LIMITS: Final = Limits()

ReadEvent: TypeAlias = Callable[[str], tuple[str, tuple[object, ...]]]
"""What reads the JSON of a plain event: its name and its arguments. Raises RemoteProtocolError."""


class Connection:
    """One connection to the main namespace. It begins in OPENING: the transport is up, nothing has been said."""

    def __init__(
        self,
        *,
        auth: Mapping[str, Value] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        read_event: ReadEvent = socketio.read_event,
    ) -> None:
        """Prepare a connection; `auth` goes with the request to connect. Raises LocalProtocolError if it is no JSON.

        `read_event` reads the plain events, which nearly all are: those without acknowledgement or attachment.
        """
        self._hello = _messages(socketio.Connect(data=None if auth is None else dict(auth)))
        self._limits = limits
        self._read_event = read_event
        self._state = State.OPENING
        self._handshake: engineio.Handshake | None = None
        self._outbox: list[str | bytes] = []
        self._partial: socketio.Partial | None = None
        self._early: list[EventReceived] = []
        self._awaited: set[int] = set()
        self._last_ack_id = 0
        # Connected, and no attachment is awaited: an event may be read the short way.
        self._is_plain = False

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return self._state

    @property
    def handshake(self) -> engineio.Handshake | None:
        """What the server said of itself, None before it did; polling needs its sid for every request."""
        return self._handshake

    # Frames in

    def receive_text(self, frame: str) -> list[Happening]:
        """Take one WebSocket text frame, or one packet of a polling body. Raises RemoteProtocolError."""
        return list(self.receive_frames([frame]))

    def receive_bytes(self, frame: bytes | bytearray) -> list[Happening]:
        """Take one WebSocket binary frame. Raises RemoteProtocolError."""
        return list(self.receive_frames([bytes(frame)]))  # no copy, unless the transport hands out its own buffer

    def receive_frames(self, frames: Iterable[str | bytes]) -> Iterator[Happening]:
        """Take WebSocket frames, as many as came at once: **iterate to the end**.

        What came before a frame that raises RemoteProtocolError has been told by then, and nothing behind it will be.
        """
        most, read_event = self._limits.frame, self._read_event
        try:
            for frame in frames:
                if self._is_plain and isinstance(frame, str) and frame.startswith("42[") and len(frame) <= most:
                    name, args = read_event(frame[2:])
                    yield EventReceived(name=name, args=args)
                else:
                    yield from self._receive(frame)
        except RemoteProtocolError:
            self._end()
            raise

    def receive_payload(self, payload: str) -> Iterator[Happening]:
        """Take the body of a polling GET, packet by packet: **iterate to the end**.

        What came before a packet that raises RemoteProtocolError has been told by then, and nothing behind it will be.
        """
        if len(payload) > self._limits.payload and self._state is not State.CLOSED:
            self._end()
            raise LimitExceededError(f"a polling payload of {len(payload)} characters")
        yield from self.receive_frames(engineio.split_payload(payload))

    def receive_eof(self) -> list[Happening]:
        """Take note that the transport has ended, from whichever side; to be called once it has."""
        return [] if self._state is State.CLOSED else [self._happen(Closed(by=ClosedBy.TRANSPORT))]

    # Intent in

    @overload
    def emit(self, name: str, *args: Value, ack: Literal[True]) -> int: ...
    @overload
    def emit(self, name: str, *args: Value, ack: Literal[False] = False) -> None: ...
    def emit(self, name: str, *args: Value, ack: bool = False) -> int | None:
        """Send an event; with `ack`, returns the id (1, 2, 3 …) of the `AckReceived` that will answer it.

        Raises LocalProtocolError, with nothing sent, unless connected, and for what the protocol, JSON or the server's
        `max_payload` does not allow.
        """
        self._send(
            socketio.Event(name=name, args=args, ack_id=self._last_ack_id + 1 if ack else None),
        )
        if not ack:
            return None
        self._last_ack_id += 1
        self._awaited.add(self._last_ack_id)
        return self._last_ack_id

    def ack(self, ack_id: int, *args: Value) -> None:
        """Answer an event that came with this id; once. Raises LocalProtocolError as `emit` does."""
        self._send(socketio.Ack(ack_id=ack_id, args=args))

    def forget(self, ack_id: int) -> None:
        """Wait no longer for this acknowledgement: should it come after all, it is ignored."""
        self._awaited.discard(ack_id)

    def disconnect(self) -> None:
        """Leave and close, from any state; the transport may be closed as soon as the outbox is empty.

        In OPENING there is nothing to say yet, and in CLOSED nothing any more.
        """
        if self._state is State.CONNECTED:
            self._outbox += _messages(socketio.Disconnect())
        self._end()

    # Frames out

    def data_to_send(self) -> list[str | bytes]:
        """Empty the outbox: a WebSocket frame each, text or binary, in order."""
        frames, self._outbox = self._outbox, []
        return frames

    def payloads_to_send(self) -> list[str]:
        """Empty the outbox: the body of a polling POST each, in order, none larger than the server takes."""
        most = None if self._handshake is None else self._handshake.max_payload
        return engineio.encode_payloads(self.data_to_send(), max_payload=most)

    # The machine

    def _receive(self, frame: str | bytes) -> list[Happening]:
        if self._state is State.CLOSED:
            return [Ignored(reason="a frame behind the close")]
        if len(frame) > self._limits.frame:
            raise LimitExceededError(f"a packet of {len(frame)} {'characters' if isinstance(frame, str) else 'bytes'}")
        return self._packet(engineio.decode(frame))

    def _packet(self, packet: engineio.Packet) -> list[Happening]:
        if packet.type is engineio.PacketType.OPEN:
            return [self._open(packet)]
        if packet.type is engineio.PacketType.CLOSE:
            return [self._happen(Closed(by=ClosedBy.SERVER))]
        if self._state is State.OPENING:
            # EIO "Handshake": the server "MUST respond with an open packet".
            raise UnexpectedPacketError(f"a {packet.type.name} packet before the handshake")
        match packet.type:
            case engineio.PacketType.MESSAGE:
                return self._message(packet.data)
            case engineio.PacketType.PING:
                # EIO "Heartbeat". A payload is not sent back: only an upgrade's probe has one, and that one is ours. A
                # pong that waits answers every ping before it: a flood of them makes no flood of ours.
                if self._outbox[-1:] != [_PONG]:
                    self._outbox.append(_PONG)
                return []
            case engineio.PacketType.NOOP:
                return []
            case engineio.PacketType.PONG:
                return [Ignored(reason="a pong without a ping")]
            case engineio.PacketType.UPGRADE:
                # EIO "Upgrade": it is the client that "MUST send a upgrade packet".
                raise UnexpectedPacketError("an UPGRADE packet from the server")
            case _:
                assert_never(packet.type)

    def _open(self, packet: engineio.Packet) -> Happening:
        if self._state is not State.OPENING:
            raise UnexpectedPacketError(f"a second handshake while {self._state.value}")
        self._handshake = engineio.read_handshake(str(packet.data))
        # SIO "Connection to a namespace": "the client MUST send a CONNECT packet".
        self._outbox += self._hello
        return self._happen(Opened(handshake=self._handshake))

    def _message(self, data: str | bytes) -> list[Happening]:
        packet: socketio.Packet | socketio.Partial | None
        if isinstance(data, bytes):
            if self._partial is None:
                raise UnexpectedPacketError("bytes that no packet announced")
            packet = self._partial.add(data)
            if packet is None:
                return []
            self._await(None)
        elif self._partial is not None:
            raise UnexpectedPacketError("a packet where an attachment should come")
        else:
            packet = socketio.decode(data, max_attachments=self._limits.attachments)
        if isinstance(packet, socketio.Partial):
            self._await(packet)
            return []
        if packet.namespace != socketio.MAIN:
            return [Ignored(reason=f"a packet of another namespace: {type(packet).__name__}")]
        if self._state is State.LEFT:
            return [Ignored(reason=f"a packet after the end of the session: {type(packet).__name__}")]
        return self._take(packet)

    def _take(self, packet: socketio.Packet) -> list[Happening]:
        match packet:
            case socketio.Event():
                event = EventReceived(name=packet.name, args=packet.args, ack_id=packet.ack_id)
                if self._state is State.CONNECTING:
                    return self._keep(event)
                return [self._happen(event)]
            case socketio.Ack():
                if packet.ack_id not in self._awaited:
                    # Late, or twice. Ignored by socket.io-client and python-socketio alike.
                    return [Ignored(reason=f"an acknowledgement nobody waits for: {packet.ack_id}")]
                self._awaited.remove(packet.ack_id)
                return [self._happen(AckReceived(ack_id=packet.ack_id, args=packet.args))]
            case socketio.Connect():
                early, self._early = self._early, []
                return [self._happen(Connected(sid=_sid(packet))), *early]
            case socketio.ConnectError():
                return [self._happen(ConnectRefused(message=packet.message, data=packet.data))]
            case socketio.Disconnect():
                return [self._happen(Disconnected(data=packet.data))]
            case _:
                assert_never(packet)

    def _keep(self, event: EventReceived) -> list[Happening]:
        # python-socketio sends what its connect handler emits before the permission itself (its `always_connect`), and
        # a room joined there brings more; socket.io-client keeps such events until it is connected, and so does this.
        if len(self._early) >= self._limits.early_events:
            raise LimitExceededError(f"more than {self._limits.early_events} events before the permission to connect")
        self._early.append(event)
        return []

    def _happen(self, happening: Happening) -> Happening:
        state = NEXT[self._state].get(type(happening))
        if state is None:
            raise UnexpectedPacketError(f"{type(happening).__name__} while {self._state.value}")
        self._state = state
        self._await(self._partial)
        return happening

    def _await(self, partial: socketio.Partial | None) -> None:
        self._partial = partial
        self._is_plain = partial is None and self._state is State.CONNECTED

    def _end(self) -> None:
        # EIO "Protocol": a close packet says "that a transport can be closed". Before the handshake there is no session
        # that it could be sent to.
        if self._state not in {State.OPENING, State.CLOSED}:
            self._outbox.append(_CLOSE)
        self._state = State.CLOSED
        self._await(None)

    def _send(self, packet: socketio.Event | socketio.Ack) -> None:
        if self._state is not State.CONNECTED:
            raise LocalProtocolError(f"nothing can be sent while {self._state.value}")
        frames = _messages(packet)
        most = None if self._handshake is None else self._handshake.max_payload
        if most is not None and (largest := max(map(_size, frames))) > most:
            raise LocalProtocolError(f"a packet of {largest} bytes, and the server takes {most}")
        self._outbox += frames


_PONG: Final = engineio.encode(engineio.Packet(type=engineio.PacketType.PONG))
_CLOSE: Final = engineio.encode(engineio.Packet(type=engineio.PacketType.CLOSE))


def _messages(packet: socketio.Packet) -> list[str | bytes]:
    return [
        engineio.encode(engineio.Packet(type=engineio.PacketType.MESSAGE, data=part))
        for part in socketio.encode(packet)
    ]


def _size(frame: str | bytes) -> int:
    """Tell the bytes of a frame on the transport that makes more of it, so that either may carry it."""
    return len(frame.encode()) if isinstance(frame, str) else engineio.base64_size(len(frame))


def _sid(packet: socketio.Connect) -> str:
    sid = (packet.data or {}).get("sid")
    if not isinstance(sid, str) or not sid:
        # SIO "Difference between v5 and v4": older servers let everybody in unasked, with a bare packet.
        raise MalformedPacketError("a permission to connect without a sid: the server speaks an older Socket.IO")
    return sid
