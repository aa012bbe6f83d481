"""Whether a client takes what it is sent: one that takes nothing for a long time must not be kept for ever.

What counts is the bytes that the kernel still holds for it, not whether there is room for more: a socket's buffers hold
megabytes, and a slow client makes room in them seldom. So whoever takes anything at all, however little, is waited for.
"""

import array
import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Final

_LOOKS: Final = 8
"""How often it is looked within the time that a client has."""
_SO_NWRITE: Final = 0x1024
"""Of macOS, `sys/socket.h`."""


class Patience:
    """The patience with one client: between `begin` and `end` there is something that it should take.

    `give_up` is called once it took nothing for `seconds`.
    """

    def __init__(self, transport: asyncio.Transport, seconds: float, give_up: Callable[[], None]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._since = 0.0

    def begin(self) -> None:
        """Wait for the client from now on."""
        self.end()
        self._left, self._since = self.untaken(), self._loop.time()
        self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)

    def end(self) -> None:
        """Wait for it no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def waited(self) -> float:
        """Look, and return for how many seconds the client has taken nothing."""
        left, now = self.untaken(), self._loop.time()
        if left != self._left:
            self._left, self._since = left, now
        return now - self._since

    def _look(self) -> None:
        if self.waited() >= self._seconds:
            self._timer = None
            self._give_up()
            return
        self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)

    def untaken(self) -> int:
        """Return the bytes that were written and not taken: the transport's, and the kernel's."""
        socket = self._transport.get_extra_info("socket")
        if socket is None:  # over TLS, of a client that is gone
            return 0
        return self._transport.get_write_buffer_size() + untaken(socket.fileno())


def untaken(descriptor: int) -> int:
    """Return how many bytes a socket holds that its peer has not taken; 0 where the system does not say."""
    count = array.array("i", [0])
    try:
        if sys.platform == "darwin":
            import socket  # noqa: PLC0415 - elsewhere this branch is not there

            with socket.socket(fileno=descriptor) as one:
                try:
                    return one.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
                finally:
                    one.detach()
        fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    except (OSError, ValueError):  # the second for one that was closed
        return 0
    return count[0]
