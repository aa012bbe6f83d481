"""What a session may send next: packets of Engine.IO, in them those of Socket.IO, and of what size."""

import re
from typing import Final

from exportctl.protocol.errors import ProtocolError
from exportctl.protocol.socketio import RESERVED, ConnectError, Event, Packet, Partial, decode

LARGEST_ATTACHED: Final = 1 << 16
"""Bytes of all that is attached to one packet: it is kept until it is whole, and no event here takes any."""
_TEXT = re.compile(r"[1356]|2probe\Z", re.ASCII)
"""The server pings; a client's is the probe of a socket."""
_BASE64 = re.compile(r"b[A-Za-z0-9+/]*={0,2}\Z", re.ASCII)


class Reading:
    """What one session has sent so far, as far as it must be known to judge what it sends next."""

    def __init__(self) -> None:
        self._partial: Partial | None = None
        self._attached = 0

    def is_packet(self, packet: str | bytes) -> bool:
        """Say whether this may come next: a packet of Engine.IO, and in it one of Socket.IO or its attachment."""
        if isinstance(packet, bytes) or packet.startswith("b"):
            self._attached += len(packet)
            return (isinstance(packet, bytes) or bool(_BASE64.match(packet))) and self._is_attachment()
        if not packet.startswith("4"):
            return bool(_TEXT.match(packet))
        try:
            message = decode(packet[1:])
        except ProtocolError:
            return False
        if self._partial is not None or not _is_clients(message):
            return False
        self._partial, self._attached = message if isinstance(message, Partial) else None, 0
        return True

    def _is_attachment(self) -> bool:
        if self._partial is None or self._attached > LARGEST_ATTACHED:
            return False
        try:
            # Its bytes are not looked at here.
            whole = self._partial.add(b"")
        except ProtocolError:
            return False
        if whole is not None:
            self._partial = None
        return whole is None or _is_clients(whole)


def _is_clients(message: Packet | Partial) -> bool:
    """Say whether a client may send it: no refusal, and no event that the library takes for its own `connect`."""
    return not isinstance(message, ConnectError) and not (isinstance(message, Event) and message.name in RESERVED)
