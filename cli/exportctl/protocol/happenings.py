"""What a connection can tell: one record per fact, and the union of them.

`connection.Connection` makes them; whoever drives it matches on them. They hold what the peer said, checked for shape
and size, and nothing of how it was written.
"""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from exportctl.protocol.engineio import Handshake
from exportctl.protocol.jsontext import Value


class ClosedBy(Enum):
    """Who ended the connection."""

    SERVER = "server"
    """The server said so, with an Engine.IO close packet."""

    TRANSPORT = "transport"
    """The WebSocket or the polling session ended without a word."""


class Opened(Struct, frozen=True, kw_only=True):
    """The Engine.IO handshake is done; the request to connect is in the outbox."""

    handshake: Handshake


class Connected(Struct, frozen=True, kw_only=True):
    """The server has let us in; `sid` names this Socket.IO session, and is another one than the handshake's."""

    sid: str


class ConnectRefused(Struct, frozen=True, kw_only=True):
    """The server has not let us in. The transport stays open until we end it (`Connection.disconnect`)."""

    message: str
    data: Value


class EventReceived(Struct, frozen=True, kw_only=True):
    """The server sent an event; with an `ack_id` it waits for `Connection.ack`.

    `args` are values of JSON, or what the `read_event` of the `Connection` has made of them.
    """

    name: str
    args: tuple[object, ...]
    ack_id: int | None = None


class AckReceived(Struct, frozen=True, kw_only=True):
    """The server answered the `Connection.emit` that returned this id."""

    ack_id: int
    args: tuple[Value, ...]


class Disconnected(Struct, frozen=True, kw_only=True):
    """The server has put us out. The transport stays open until one side ends it (`Connection.disconnect`)."""

    data: Value


class Closed(Struct, frozen=True, kw_only=True):
    """The connection is over: no more facts will come, and what was not acknowledged never will be."""

    by: ClosedBy


class Ignored(Struct, frozen=True, kw_only=True):
    """The server sent something well-formed that changes nothing; `reason` is for a log."""

    reason: str


Happening: TypeAlias = (
    Opened | Connected | ConnectRefused | EventReceived | AckReceived | Disconnected | Closed | Ignored
)
