"""What can go wrong on the wire, in two worlds, as in h11: the peer's fault and ours.

    ProtocolError
    ├── RemoteProtocolError          the peer broke the protocol: close the transport, connect anew
    │   ├── MalformedPacketError     this is no packet of the protocol
    │   ├── UnexpectedPacketError    a good packet that has no place in this state
    │   └── LimitExceededError       larger, deeper or more than we are willing to take
    └── LocalProtocolError           we broke it: a bug of the caller, nothing was sent

A message names what was wrong and where, with at most a short, escaped excerpt of what the peer sent: it is fit for a
terminal and for a log.
"""

from typing import Final

_EXCERPT: Final = 24


class ProtocolError(Exception):
    """The protocol was broken, by either side."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the connection is of no further use."""


class MalformedPacketError(RemoteProtocolError):
    """The peer sent something that is no packet."""


class UnexpectedPacketError(RemoteProtocolError):
    """The peer sent a packet that has no place in the connection's state."""


class LimitExceededError(RemoteProtocolError):
    """The peer sent more than this side is willing to take."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the protocol does not allow; nothing was sent."""


def excerpt(text: str) -> str:
    """Quote the beginning of what a peer sent, printable ASCII only."""
    return ascii(text) if len(text) <= _EXCERPT else f"{text[:_EXCERPT]!a}…"
