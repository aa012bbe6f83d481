"""What was asked over a socket and waits for its acknowledgement."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from exportctl.client.socket import Socket, SocketLost
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.happenings import AckReceived

ACKNOWLEDGE_SECONDS: Final = 15.0
"""Servers that draw were seen silent for 8 s (`WIRE.md`, 13)."""


@dataclass(slots=True)
class Calls:
    """The open calls of one socket. Whoever receives tells of all that comes: `heard`, `answer`, `lose`."""

    _answers: dict[int, asyncio.Future[Object]] = field(init=False, default_factory=dict)
    _limits: set[asyncio.Timeout] = field(init=False, default_factory=set)

    async def call(self, socket: Socket, name: str, data: Mapping[str, str | int]) -> Object:
        """Emit with an acknowledgement and return it. Raises `SocketLost`, `TimeoutError`.

        Time counts from the last packet received (`WIRE.md`, Flow and size): a long replay is not silence.
        """
        answer: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        limit = asyncio.timeout(ACKNOWLEDGE_SECONDS)
        ack_id = socket.emit(name, dict(data))
        self._answers[ack_id] = answer
        try:
            await socket.flush()
            async with limit:
                self._limits.add(limit)
                return await answer
        finally:
            self._limits.discard(limit)
            self._answers.pop(ack_id, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # lost while it was being sent: nobody else looks at it
            socket.machine.forget(ack_id)

    def heard(self) -> None:
        """Note that something came: the silence is over."""
        until = asyncio.get_running_loop().time() + ACKNOWLEDGE_SECONDS
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(until)

    def answer(self, ack: AckReceived) -> None:
        """Hand an acknowledgement to its call."""
        answer = self._answers.get(ack.ack_id)
        if answer is not None and not answer.done():
            first = ack.args[0] if ack.args else None
            answer.set_result(first if isinstance(first, dict) else {})

    def lose(self, reason: str) -> None:
        """End every call: its answer cannot come any more."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SocketLost(reason))
        self._answers.clear()
