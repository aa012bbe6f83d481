"""What a connection can tell: one record per fact, and the union of them.

`connection.Connection` makes them; whoever drives it matches on them. They hold what the peer said, checked for shape
and size, and nothing of how it was written.
"""

from enum import Enum
from typing import TypeAlias

from exportctl.protocol.engineio import Handshake
from exportctl.protocol.fact import fact
from exportctl.protocol.jsontext import Value


class ClosedBy(Enum):
    """Who ended the connection."""

    SERVER = "server"
    """The server said so, with an Engine.IO close packet."""

    TRANSPORT = "transport"
    """The WebSocket or the polling session ended without a word."""


@fact
class Opened:
    """The Engine.IO handshake is done; the request to connect is in the outbox."""

    handshake: Handshake


@fact
class Connected:
    """The server has let us in; `sid` names this Socket.IO session, and is another one than the handshake's."""

    sid: str


@fact
class ConnectRefused:
    """The server has not let us in. The transport stays open until we end it (`Connection.disconnect`)."""

    message: str
    data: Value


@fact
class EventReceived:
    """The server sent an event; with an `ack_id` it waits for `Connection.ack`."""

    name: str
    args: tuple[Value, ...]
    ack_id: int | None = None


@fact
class AckReceived:
    """The server answered the `Connection.emit` that returned this id."""

    ack_id: int
    args: tuple[Value, ...]


@fact
class Disconnected:
    """The server has put us out. The transport stays open until one side ends it (`Connection.disconnect`)."""

    data: Value


@fact
class Closed:
    """The connection is over: no more facts will come, and what was not acknowledged never will be."""

    by: ClosedBy


@fact
class Ignored:
    """The server sent something well-formed that changes nothing; `reason` is for a log."""

    reason: str


Happening: TypeAlias = (
    Opened | Connected | ConnectRefused | EventReceived | AckReceived | Disconnected | Closed | Ignored
)
