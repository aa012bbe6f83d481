"""Who has a socket open, by what right, and for how long: no longer than that right lasts.

A socket is opened once and lives for days; a token that is ended meanwhile, a session that is signed out, a user that
is removed, by this server or beside it, ends it too. One user has a part of all sockets at most, so that there are some
for the others.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from exportctl.server.auth import Guard, Pass

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether a right has ended."""
_LOOKS_A_MINUTE: Final = 60

logger = logging.getLogger(__name__)


class TooManySocketsError(Exception):
    """The user has as many sockets as one may have."""


class Doorkeeper:
    """Admits sockets of users, `most` of one user; `turn_out` ends one."""

    def __init__(self, guard: Guard, most: int, turn_out: Callable[[str], Awaitable[None]]) -> None:
        self._guard = guard
        self._most = most
        self._turn_out = turn_out
        self._inside: dict[str, Pass] = {}
        self._of: Counter[str] = Counter()

    def admit(self, sid: str, given: Pass) -> None:
        """Let a socket in; raises TooManySocketsError."""
        if self._of[given.user] >= self._most:
            raise TooManySocketsError
        self._inside[sid] = given
        self._of[given.user] += 1

    def left(self, sid: str) -> None:
        """Forget a socket."""
        given = self._inside.pop(sid, None)
        if given is not None:
            self._of[given.user] -= 1
            if not self._of[given.user]:
                del self._of[given.user]

    async def run(self) -> None:
        """Turn out, for ever, whose right has ended."""
        known: object = None
        for look in itertools.count():
            await asyncio.sleep(LOOK_SECONDS)
            try:
                now = self._guard.changes()
                # A session that nobody renews ends without a change.
                if now != known or look % _LOOKS_A_MINUTE == 0:
                    await self._turn_out_ended()
                known = now
            except Exception:
                # Looked again, whatever it was: who has no right any more must not stay.
                logger.exception("It cannot be seen whose right has ended")

    async def _turn_out_ended(self) -> None:
        ended = {right for right in set(self._inside.values()) if not self._guard.holds(right)}
        for sid in [sid for sid, right in self._inside.items() if right in ended]:
            self.left(sid)
            await self._turn_out(sid)
