"""Engine.IO 4: packets, polling payloads, and the handshake. Pure functions, one packet or one payload at a time.

Specification: https://github.com/socketio/engine.io-protocol, quoted here by its section. A WebSocket frame holds one
packet: a text frame any packet, a binary frame a message with bytes. A polling payload holds several, separated by
U+001E, where bytes are written as `b` and base64.

The reference parser accepts the `b` form in a WebSocket text frame as well (its client sends it when binary is not
supported there), so there is one reader for both. Where the peer's fault is found, a RemoteProtocolError says so.
"""

import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from exportctl.protocol import jsontext
from exportctl.protocol.errors import LocalProtocolError, MalformedPacketError, excerpt

SEPARATOR: Final = "\x1e"
"""Between the packets of a polling payload ("Packet encoding", HTTP long-polling)."""

_BASE64: Final = "b"
_LONGEST_SID: Final = 256
_LONGEST_WAIT_MS: Final = 2**31 - 1  # the longest timer that the reference server can be set to
_MOST_UPGRADES: Final = 16
_MOST_PACKETS: Final = 16  # python-engineio refuses a body of more, and ends the session


class PacketType(IntEnum):
    """The first character of a packet ("Protocol")."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


_TYPES: Final = {str(member.value): member for member in PacketType}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet; only a message may carry bytes."""

    type: PacketType
    data: str | bytes = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What the server says of itself in its first packet.

    `ping_interval` and `ping_timeout` are seconds: no ping for the sum of both means that the connection is dead.
    `max_payload` is how many bytes the server takes in one payload or frame, None if it did not say (older servers do
    not, and a server without a limit says null).
    """

    sid: str
    upgrades: tuple[str, ...]
    ping_interval: float
    ping_timeout: float
    max_payload: int | None


def encode(packet: Packet) -> str | bytes:
    """Write a packet as the WebSocket frame that carries it. Raises LocalProtocolError for bytes in a non-message."""
    if isinstance(packet.data, str):
        return f"{packet.type.value}{packet.data}"
    if packet.type is not PacketType.MESSAGE:
        raise LocalProtocolError(f"a {packet.type.name} packet cannot carry bytes")
    return packet.data


def decode(frame: str | bytes) -> Packet:
    """Read a WebSocket frame, or one packet of a polling payload. Raises MalformedPacketError."""
    if isinstance(frame, bytes):
        return Packet(type=PacketType.MESSAGE, data=frame)
    kind = _TYPES.get(frame[:1])
    if kind is not None:
        return Packet(type=kind, data=frame[1:])
    if frame.startswith(_BASE64):
        return Packet(type=PacketType.MESSAGE, data=_read_base64(frame[1:]))
    if not frame:
        raise MalformedPacketError("an empty Engine.IO packet")
    raise MalformedPacketError(f"an Engine.IO packet of unknown type: {excerpt(frame)}")


def encode_payload(frames: Sequence[str | bytes]) -> str:
    """Join encoded packets into the body of one polling POST.

    Raises LocalProtocolError if a text holds the separator, which would be read as two packets (JSON never does).
    """
    return SEPARATOR.join(map(_part, frames))


def encode_payloads(frames: Iterable[str | bytes], *, max_payload: int | None) -> list[str]:
    """Join encoded packets into as few bodies as fit into `max_payload` bytes each, in order ("HTTP long-polling").

    No body has more than 16 packets. A frame that is too large by itself gets a body of its own.
    """
    bodies: list[str] = []
    parts: list[str] = []
    size = 0
    for part in map(_part, frames):
        weight = len(part.encode()) + len(SEPARATOR)
        is_full = max_payload is not None and size + weight - len(SEPARATOR) > max_payload
        if parts and (is_full or len(parts) == _MOST_PACKETS):
            bodies.append(SEPARATOR.join(parts))
            parts, size = [], 0
        parts.append(part)
        size += weight
    if parts:
        bodies.append(SEPARATOR.join(parts))
    return bodies


def split_payload(payload: str) -> list[str]:
    """Take the body of a polling GET apart into its packets, still encoded.

    An empty body is no packet: python-engineio answers so to the GET that it ends at a close.
    """
    return payload.split(SEPARATOR) if payload else []


def decode_payload(payload: str) -> list[Packet]:
    """Read the body of a polling GET whole. Raises MalformedPacketError if any packet of it is malformed."""
    return [decode(part) for part in split_payload(payload)]


def base64_size(size: int) -> int:
    """Tell how many characters `size` bytes take in a polling payload, prefix included."""
    return len(_BASE64) + 4 * ((size + 2) // 3)


def read_handshake(data: str) -> Handshake:
    """Read the payload of an open packet ("Handshake"); unknown keys are ignored. Raises MalformedPacketError."""
    fields = jsontext.read(data)
    if not isinstance(fields, dict):
        raise MalformedPacketError("the handshake is no JSON object")
    sid = fields.get("sid")
    # It goes into the query of every later request, so nothing but visible ASCII is taken.
    if not (isinstance(sid, str) and 0 < len(sid) <= _LONGEST_SID and sid.isascii() and sid.isprintable()):
        raise MalformedPacketError("the handshake has no usable sid")
    upgrades = fields.get("upgrades")
    if not isinstance(upgrades, list) or len(upgrades) > _MOST_UPGRADES:
        raise MalformedPacketError("the handshake's upgrades are no list of transports")
    names = tuple(name for name in upgrades if isinstance(name, str))
    if len(names) != len(upgrades):
        raise MalformedPacketError("the handshake's upgrades are no list of transports")
    most = fields.get("maxPayload")
    if most is not None and (type(most) is not int or most < 1):
        raise MalformedPacketError("the handshake's maxPayload is no number of bytes")
    return Handshake(
        sid=sid,
        upgrades=names,
        ping_interval=_seconds(fields, "pingInterval"),
        ping_timeout=_seconds(fields, "pingTimeout"),
        max_payload=most,
    )


def _seconds(fields: dict[str, jsontext.Value], key: str) -> float:
    milliseconds = fields.get(key)
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        raise MalformedPacketError(f"the handshake's {key} is no number")
    if not 0 < milliseconds <= _LONGEST_WAIT_MS:
        raise MalformedPacketError(f"the handshake's {key} is no time to wait: {milliseconds} ms")
    return milliseconds / 1000


def _part(frame: str | bytes) -> str:
    if isinstance(frame, bytes):
        return _BASE64 + binascii.b2a_base64(frame, newline=False).decode("ascii")
    if SEPARATOR in frame:
        raise LocalProtocolError("a packet with U+001E in it cannot go into a polling payload")
    return frame


def _read_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one; a text that is not ASCII raises the plain one
        raise MalformedPacketError(f"a binary packet that is no base64: {excerpt(text)}") from None
