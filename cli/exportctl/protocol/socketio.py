"""Socket.IO 5: packets of the default parser, read and written. Pure functions over the text of Engine.IO messages.

Specification: https://github.com/socketio/socket.io-protocol, quoted here by its section. A packet is
`<type>[<attachments>-][<namespace>,][<ack id>][JSON]`, with the bytes of binary packets behind it, one frame each.
Nobody outside sees a binary packet: it is an `Event` or `Ack` whose values hold `bytes` where placeholders stood.

Decisions where the specification is silent, each as the reference implementation (socket.io-parser) has it unless said:

- The name of an event is a string; a whole number is taken and read as its digits, which is what it becomes as a
  JavaScript event name. Anything else is malformed.
- A query behind a namespace is dropped.
- Reserved names (`connect`, `disconnect`, …) are never sent, since reference servers close the connection on them. They
  are taken in, unlike there: nothing here mixes the peer's names with our own facts.
- A refusal may be a bare string (as in revision 4), an object without a message, or nothing at all: refused is refused.
- A disconnect may carry a payload: python-socketio sends its reason so.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from exportctl.protocol import jsontext
from exportctl.protocol.errors import LimitExceededError, LocalProtocolError, MalformedPacketError, excerpt
from exportctl.protocol.jsontext import Value

MAIN: Final = "/"
"""The namespace that is never written out ("Format")."""

MAX_ATTACHMENTS: Final = 10
"""The reference parser's own bound."""

MAX_ID: Final = 2**53 - 1
"""The largest id that every implementation can count to."""

RESERVED: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)

_MOST_DIGITS: Final = len(str(MAX_ID))
# [0-9], since \d takes every script's digits.
_HEAD: Final = re.compile(r"([0-6])(?:([0-9]+)-)?(?:(/[^,]*),?)?([0-9]+)?")
_NAMESPACE: Final = re.compile(r"/[^,\ud800-\udfff]*")


class PacketType(IntEnum):
    """The first character of a packet ("Exchange protocol")."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Ask for a namespace (client, `data` is its auth), or grant it (server, `data` holds the sid)."""

    namespace: str = MAIN
    data: dict[str, Value] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """Leave a namespace; no answer is expected."""

    namespace: str = MAIN
    data: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A named event; with an `ack_id` its sender waits for an `Ack` of the same id."""

    namespace: str = MAIN
    name: str
    args: tuple[Value, ...] = ()
    ack_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The answer to the event of this id."""

    namespace: str = MAIN
    ack_id: int
    args: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectError:
    """The namespace is refused."""

    namespace: str = MAIN
    message: str = ""
    data: Value = None


Packet: TypeAlias = Connect | Disconnect | Event | Ack | ConnectError


class Partial:
    """A binary packet that waits for its attachments, which follow in order, a frame each."""

    __slots__ = ("_ack_id", "_attachments", "_data", "_expected", "_is_event", "_namespace")

    def __init__(self, *, is_event: bool, namespace: str, ack_id: int | None, data: list[Value], expected: int) -> None:
        self._is_event = is_event
        self._namespace = namespace
        self._ack_id = ack_id
        self._data = data
        self._expected = expected
        self._attachments: list[bytes] = []

    def add(self, attachment: bytes) -> Event | Ack | None:
        """Take the next attachment; the last one gives the packet. Raises MalformedPacketError."""
        self._attachments.append(attachment)
        if len(self._attachments) < self._expected:
            return None
        _put_back(self._data, self._attachments)
        return _event_or_ack(self._data, is_event=self._is_event, namespace=self._namespace, ack_id=self._ack_id)


def decode(text: str, *, max_attachments: int = MAX_ATTACHMENTS) -> Packet | Partial:
    """Read the text of one packet; a binary one is `Partial` until its attachments were added.

    Raises MalformedPacketError, and LimitExceededError for more than `max_attachments`, an ack id beyond `MAX_ID`, or
    values nested too deeply.
    """
    head = _HEAD.match(text)
    if head is None:
        raise MalformedPacketError(f"a Socket.IO packet of unknown type: {excerpt(text)}")
    kind = PacketType(int(head[1]))
    namespace = (head[3] or MAIN).partition("?")[0]
    ack_id = None if head[4] is None else _number(head[4], at_most=MAX_ID, what="an acknowledgement id")
    binary = kind in {PacketType.BINARY_EVENT, PacketType.BINARY_ACK}
    if binary == (head[2] is None):
        raise MalformedPacketError(f"attachments announced where there are none, or not announced: {excerpt(text)}")
    body = text[head.end() :]
    match kind:
        case PacketType.CONNECT:
            return _connect(namespace, body)
        case PacketType.DISCONNECT:
            return Disconnect(namespace=namespace, data=jsontext.read(body) if body else None)
        case PacketType.CONNECT_ERROR:
            return _connect_error(namespace, body)
        case PacketType.EVENT | PacketType.ACK:
            is_event = kind is PacketType.EVENT
            return _event_or_ack(_array(body), is_event=is_event, namespace=namespace, ack_id=ack_id)
        case _:
            expected = _number(head[2], at_most=max_attachments, what="the number of attachments")
            if expected == 0:
                raise MalformedPacketError("a binary packet without attachments")
            is_event = kind is PacketType.BINARY_EVENT
            data = _array(body)
            # What is wrong already is not waited for.
            _event_or_ack(data, is_event=is_event, namespace=namespace, ack_id=ack_id)
            return Partial(is_event=is_event, namespace=namespace, ack_id=ack_id, data=data, expected=expected)


def read_event(body: str) -> tuple[str, tuple[Value, ...]]:
    """Read the JSON of an event: its name and its arguments. Raises MalformedPacketError, LimitExceededError."""
    data = jsontext.read(body)
    if isinstance(data, list) and data and type(data[0]) is str:
        return data[0], tuple(data[1:])
    return _name_and_args(_array(body))


def encode(packet: Packet) -> list[str | bytes]:
    """Write a packet: its text, then its attachments, if any of its values are bytes.

    Raises LocalProtocolError for what the protocol or JSON cannot say.
    """
    match packet:
        case Connect():
            return [_text(PacketType.CONNECT, packet.namespace, body=_optional(packet.data))]
        case Disconnect():
            return [_text(PacketType.DISCONNECT, packet.namespace, body=_optional(packet.data))]
        case ConnectError():
            data = {} if packet.data is None else {"data": packet.data}
            body = jsontext.write({"message": packet.message, **data})
            return [_text(PacketType.CONNECT_ERROR, packet.namespace, body=body)]
        case Event():
            if packet.name in RESERVED:
                raise LocalProtocolError(f"the event name {packet.name!r} is reserved")
            return _with_attachments(PacketType.EVENT, packet.namespace, packet.ack_id, [packet.name, *packet.args])
        case Ack():
            return _with_attachments(PacketType.ACK, packet.namespace, packet.ack_id, packet.args)


def _optional(data: Value) -> str:
    return "" if data is None else jsontext.write(data)


def _with_attachments(
    kind: PacketType, namespace: str, ack_id: int | None, data: list[Value] | tuple[Value, ...]
) -> list[str | bytes]:
    attachments: list[str | bytes] = []

    def detach(thing: bytes) -> Value:
        attachments.append(thing)
        return {"_placeholder": True, "num": len(attachments) - 1}

    body = jsontext.write(data, detach=detach)
    if ack_id is not None and not 0 <= ack_id <= MAX_ID:
        raise LocalProtocolError(f"{ack_id} is no acknowledgement id")
    if attachments:
        kind = PacketType.BINARY_EVENT if kind is PacketType.EVENT else PacketType.BINARY_ACK
    return [_text(kind, namespace, attachments=len(attachments), ack_id=ack_id, body=body), *attachments]


def _text(kind: PacketType, namespace: str, *, attachments: int = 0, ack_id: int | None = None, body: str) -> str:
    if not _NAMESPACE.fullmatch(namespace):
        raise LocalProtocolError(f"{namespace!a} is no namespace")
    count = f"{attachments}-" if attachments else ""
    place = "" if namespace == MAIN else f"{namespace},"
    return f"{kind.value}{count}{place}{'' if ack_id is None else ack_id}{body}"


def _number(digits: str, *, at_most: int, what: str) -> int:
    # The length first: Python refuses to read thousands of digits, with an error of its own.
    if len(digits) > _MOST_DIGITS or (number := int(digits)) > at_most:
        raise LimitExceededError(f"{what} is beyond {at_most}: {excerpt(digits)}")
    return number


def _array(body: str) -> list[Value]:
    # Sections "Sending and receiving data" and "Acknowledgement": "The payload is mandatory and MUST be an array"
    if not body:
        raise MalformedPacketError("an event or acknowledgement without its payload")
    data = jsontext.read(body)
    if not isinstance(data, list):
        raise MalformedPacketError("the payload of an event or acknowledgement is no JSON array")
    return data


def _name_and_args(data: list[Value]) -> tuple[str, tuple[Value, ...]]:
    # Section "Sending and receiving data": "… MUST be a non-empty array. If that's not the case … close the connection"
    if not data:
        raise MalformedPacketError("an event without a name")
    name = data[0]
    if type(name) is str:
        return name, tuple(data[1:])
    if type(name) is int:
        return str(name), tuple(data[1:])
    raise MalformedPacketError("an event whose name is no string")


def _event_or_ack(data: list[Value], *, is_event: bool, namespace: str, ack_id: int | None) -> Event | Ack:
    if is_event:
        name, args = _name_and_args(data)
        return Event(namespace=namespace, name=name, args=args, ack_id=ack_id)
    if ack_id is None:
        raise MalformedPacketError("an acknowledgement without an id")
    return Ack(namespace=namespace, ack_id=ack_id, args=tuple(data))


def _connect(namespace: str, body: str) -> Connect:
    data = jsontext.read(body) if body else None
    if data is not None and not isinstance(data, dict):
        raise MalformedPacketError("the payload of a connect packet is no JSON object")
    return Connect(namespace=namespace, data=data)


def _connect_error(namespace: str, body: str) -> ConnectError:
    data = jsontext.read(body) if body else None
    if isinstance(data, str):
        return ConnectError(namespace=namespace, message=data)
    if data is not None and not isinstance(data, dict):
        raise MalformedPacketError("the payload of a connect error is neither a JSON object nor a string")
    fields = data or {}
    message = fields.get("message")
    return ConnectError(
        namespace=namespace, message=message if isinstance(message, str) else "", data=fields.get("data")
    )


def _put_back(data: list[Value], attachments: list[bytes]) -> None:
    """Replace every placeholder in freshly read values, in place. A loop, since the peer chooses the depth."""
    holders: list[list[Value] | dict[str, Value]] = [data]
    while holders:
        holder = holders.pop()
        if isinstance(holder, list):
            for index, value in enumerate(holder):
                holder[index] = _replaced(value, attachments, holders)
        else:
            for key, value in holder.items():
                holder[key] = _replaced(value, attachments, holders)  # no key is added, so the view stays good


def _replaced(value: Value, attachments: list[bytes], holders: list[list[Value] | dict[str, Value]]) -> Value:
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < len(attachments):
                raise MalformedPacketError("a placeholder for an attachment that is not there")
            return attachments[number]
        holders.append(value)
    elif isinstance(value, list):
        holders.append(value)
    return value
