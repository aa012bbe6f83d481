"""The event loop of a command: one that waits for nobody's name at its end.

A name is looked up by the system, in a thread that nothing can interrupt; asyncio waits for that thread before it lets
go of a command, so that a name server which does not answer would hold up Ctrl-C and `--timeout`. Here such a thread is
left behind.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Literal, TypeAlias

Version4: TypeAlias = tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]
Version6: TypeAlias = tuple[
    Literal[socket.AddressFamily.AF_INET6],
    socket.SocketKind,
    int,
    str,
    tuple[str, int, int, int] | tuple[int, bytes],
]
Found: TypeAlias = list[Version4 | Version6]


class Loop(asyncio.SelectorEventLoop):
    """asyncio's own, but for the look-up of names."""

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's own name for it
        proto: int = 0,
        flags: int = 0,
    ) -> Found:
        """Return what `socket.getaddrinfo` does; raises what it raises."""
        found: asyncio.Future[Found] = self.create_future()

        def settle(answer: Found | Exception) -> None:
            if found.done():
                return
            if isinstance(answer, Exception):
                found.set_exception(answer)
            else:
                found.set_result(answer)

        def look() -> None:
            answer: Found | Exception
            try:
                answer = socket.getaddrinfo(host, port, family, type, proto, flags)
            except Exception as error:  # noqa: BLE001 - raised to the one who asked
                answer = error
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody asks any more
                self.call_soon_threadsafe(settle, answer)

        threading.Thread(target=look, name="names", daemon=True).start()
        return await found
