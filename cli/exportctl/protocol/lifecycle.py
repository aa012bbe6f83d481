"""The life of a connection, as a table: in each state the facts that may come, and the state that each leads to.

A fact that is not in the row of the current state is the peer's error. Heartbeats and what is ignored are no facts of
the life cycle, so they are not in it.
"""

from enum import Enum
from typing import Final

from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Happening,
    Opened,
)


class State(Enum):
    """Where a connection is in its life."""

    OPENING = "opening"
    """The transport is up, the handshake has not come."""

    CONNECTING = "connecting"
    """The request to connect is on its way."""

    CONNECTED = "connected"
    """Events go both ways."""

    LEFT = "left"
    """Refused or put out. Only heartbeats are answered until somebody ends the transport."""

    CLOSED = "closed"
    """Over."""


NEXT: Final[dict[State, dict[type[Happening], State]]] = {
    State.OPENING: {Opened: State.CONNECTING, Closed: State.CLOSED},
    State.CONNECTING: {
        Connected: State.CONNECTED,
        ConnectRefused: State.LEFT,
        Disconnected: State.LEFT,
        Closed: State.CLOSED,
    },
    State.CONNECTED: {
        EventReceived: State.CONNECTED,
        AckReceived: State.CONNECTED,
        Disconnected: State.LEFT,
        Closed: State.CLOSED,
    },
    State.LEFT: {Closed: State.CLOSED},
    State.CLOSED: {},
}
