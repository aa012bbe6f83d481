"""An open descriptor as the place of an archive: bytes go out as they come, and cannot be taken back.

Where its reader stalls nothing blocks: signals, heartbeats and `--timeout` go on. The descriptor's own mode is left as
it is, since a pipe or terminal is shared with others.
"""

import asyncio
import os
import select
import stat
from typing import Final

from exportctl.client.partial import Origin
from exportctl.client.wire import settled
from exportctl.model.errors import CannotWrite, Damaged

BEGUN_ANEW: Final = "BEGUN_ANEW"
_GLANCE = 0.05
"""Seconds between two looks at a descriptor that the event loop cannot watch."""


class Pipe:
    """A place like `Partial`, without a way back: what begins anew after the first byte is `Damaged`. Close it."""

    def __init__(self, descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        self._descriptor = descriptor
        self._is_file = stat.S_ISREG(mode)
        self._own = _opened_again(descriptor) if stat.S_ISFIFO(mode) else None
        self._origin: Origin | None = None
        self._has_bytes = False

    def close(self) -> None:
        """Close what was opened here; the descriptor given stays open."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def origin(self) -> Origin | None:
        """Return whose the bytes are, None before the first."""
        return self._origin

    def begin(self, origin: Origin) -> None:
        """Note whose the next bytes are. Raises `Damaged` where others went out already."""
        if self._has_bytes:
            raise Damaged(
                "the download had to begin anew, and what was written already cannot be taken back",
                hint="-o FILE needs no second beginning",
                code=BEGUN_ANEW,
            )
        self._origin = origin

    def note(self, origin: Origin) -> None:
        """Note more of the archive whose bytes these are."""
        self._origin = origin

    async def append(self, chunk: bytes | memoryview) -> None:
        """Write all of `chunk`. A broken pipe is let through; any other refusal is `CannotWrite`."""
        self._has_bytes = self._has_bytes or bool(chunk)
        rest = memoryview(chunk)
        while rest:
            try:
                if self._is_file:
                    rest = rest[await settled(asyncio.to_thread(os.write, self._descriptor, rest)) :]
                elif self._own is not None:
                    await self._room()
                    rest = rest[os.write(self._own, rest) :]
                else:
                    await self._room()
                    # POSIX, poll: so much goes into a pipe that is ready without waiting.
                    rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise
            except OSError as error:
                raise CannotWrite(f"cannot write to standard output: {error.strerror}") from error

    async def _room(self) -> None:
        """Return when a write would not wait."""
        if self._is_ready():
            return
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_writer(self._descriptor, ready.set)
        except OSError:
            while not self._is_ready():  # noqa: ASYNC110 - nobody can set an event here: that is why it is looked at
                await asyncio.sleep(_GLANCE)
            return
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)

    def _is_ready(self) -> bool:
        watch = select.poll()
        watch.register(self._descriptor, select.POLLOUT)
        return bool(watch.poll(0))


def _opened_again(descriptor: int) -> int | None:
    """Return the pipe opened once more, for writes that never wait; None where that cannot be.

    The mode of the descriptor itself belongs to all who share it. In blocks of `PIPE_BUF` one byte costs four times as
    much.
    """
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
