"""The packets that wait for one session: a poll takes some at a time, since not every client takes more.

python-socketio's client refuses an answer of more than 16 packets, connects anew and asks for the same again: a replay
over long polling would never come to its end. What is left waits for the next poll, which follows at once.
"""

import asyncio
from typing import Final

from engineio.packet import Packet

AT_ONCE: Final = 16
"""Packets in one answer to a poll: `Payload.max_decode_packets` of python-engineio."""


class Packets(asyncio.Queue[Packet | None]):
    """Looks empty after `AT_ONCE` packets, until it is waited for again."""

    _left = AT_ONCE

    async def get(self) -> Packet | None:
        """Wait for the first packet of an answer."""
        self._left = AT_ONCE
        return await super().get()

    def get_nowait(self) -> Packet | None:
        """Return a further one; raises asyncio.QueueEmpty."""
        if not self._left:
            raise asyncio.QueueEmpty
        packet = super().get_nowait()
        self._left -= 1
        return packet
