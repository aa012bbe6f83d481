"""Sessions that were opened and never connected: whoever opens thousands must not keep them.

Each is ended after a while; and of many the oldest goes at once, with its ping's timer, which would keep it in memory
for half a minute more. Whoever connects right away is never the oldest.
"""

import asyncio
import contextlib
from typing import Any, Final
from weakref import WeakKeyDictionary

from exportctl.server.doorway import Server, hang_up

MOST: Final = 1000
"""Sessions kept that have not connected: each costs about 16 kB."""


class Silent:
    """The sessions of a server that have said nothing yet; `pinging` is told of the task of each ping."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._opened: dict[str, None] = {}
        self._pings: WeakKeyDictionary[Any, asyncio.Task[Any]] = WeakKeyDictionary()
        server.on_open = self._open

    def pinging(self, session: object, task: asyncio.Task[Any]) -> None:
        """Note the task that will ping an Engine.IO session."""
        self._pings[session] = task

    def connected(self, sid: str) -> None:
        """Note that a session is connected, by its Socket.IO id."""
        self._opened.pop(self._server.manager.eio_sid_from_sid(sid, "/"), None)

    async def run(self) -> None:
        """End the sessions that are not connected after twice the time at most, for ever."""
        known: set[str] = set()
        while True:
            await asyncio.sleep(self._seconds)
            connected = self._server.manager.sid_from_eio_sid
            silent = {session for session in self._server.eio.sockets if connected(session, "/") is None}
            for session in silent & known:
                await self.end(session)
            known = silent

    async def _open(self, session: str) -> None:
        self._opened[session] = None
        while len(self._opened) > MOST:
            await self.end(next(iter(self._opened)))

    async def end(self, session: str) -> None:
        """End a session of Engine.IO at once, whatever its client does."""
        self._opened.pop(session, None)
        socket = self._server.eio.sockets.pop(session, None)
        if socket is None:
            return
        with contextlib.suppress(Exception):
            # It may have ended by itself meanwhile, which the library says in its own ways.
            await socket.close(wait=False, reason="no handshake")
        ping = self._pings.pop(socket, None)
        if ping is not None:
            ping.cancel()
        hang_up(socket)
