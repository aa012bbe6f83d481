"""The bytes of an answer to their place: one thread reads and writes, another hashes, the event loop does neither.

So the loop stays free for signals, heartbeats and progress, and on two cores the digest costs no time. Two buffers of
4 MB (with 1 MB: 1.2 times the CPU time, tests/bench/download.py) are all the memory that a download of any size takes.
`Tally` is what the bytes so far amount to; it never runs ahead of the place.
"""

import asyncio
import contextlib
import hashlib
import itertools
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import httpx

from exportctl.client.pace import Pace
from exportctl.client.packed import Unpacked
from exportctl.client.partial import Partial
from exportctl.client.pipe import Pipe
from exportctl.client.wire import BODY, GLANCE, Body, settled
from exportctl.client.zipstream import ZipStream
from exportctl.model.errors import Damaged

BLOCK: Final = 1 << 22
PATIENCE: Final = 30.0
"""Seconds of waiting in which a connection must bring `LEAST` bytes; another one may be luckier."""
LEAST: Final = 1024
_FEW: Final = 20
"""So many times `PATIENCE`, at the rate that there is, are waited for the last bytes: ten minutes at most."""
_LIMITED_PARTS: Final = 10
"""Blocks a second where the rate is limited: what a limit shows as."""

Place: TypeAlias = Partial | Pipe
"""Where the bytes go."""


@dataclass(slots=True)
class Tally:
    """The bytes so far: how many, their SHA-256, and whether they are an archive whose own CRCs hold."""

    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    stream: ZipStream = field(default_factory=ZipStream)

    @classmethod
    def of(cls, path: Path, stop: threading.Event) -> Self:
        """Count the bytes of a file. Blocks; `stop` ends it early."""
        tally = cls()
        with path.open("rb", buffering=0) as file:
            block = memoryview(bytearray(BLOCK))
            while (got := file.readinto(block)) and not stop.is_set():
                tally.add(block[:got])
        return tally

    def add(self, data: memoryview) -> None:
        """Count the next bytes in. Blocks."""
        self.digest.update(data)
        self.stream.feed(data)
        self.size += len(data)


@dataclass(slots=True, kw_only=True)
class Intake:
    """The bytes of one answer. `left`: how many may come, None where nobody knows. `is_packed`: with gzip, again."""

    place: Place
    tally: Tally
    pace: Pace
    left: int | None
    is_packed: bool = False
    _trouble: httpx.HTTPError | None = field(init=False, default=None)
    _waited: float = field(init=False, default=0.0)
    _brought: int = field(init=False, default=0)

    async def take(self, response: httpx.Response) -> None:
        """Bring all of the answer's body to its place and into the tally.

        Raises httpx's errors where the connection breaks, `Damaged` where more comes than may, and what the place
        raises; the tally then holds what the place has.
        """
        body = response.extensions.get(BODY)
        if isinstance(body, Body):
            take = self._from_socket(Unpacked(body) if self.is_packed else body)
        else:
            take = self._from_httpx(response)
        counting: asyncio.Task[None] | None = None
        size = self.tally.size
        try:
            async with contextlib.aclosing(take) as pieces:
                async for piece in pieces:
                    if counting is not None:
                        await settled(counting)
                    counting = None
                    if piece:
                        counting = asyncio.create_task(asyncio.to_thread(self.tally.add, piece))
                        size += len(piece)
                    self.pace.at(size)
                    await self.pace.hold()
        finally:
            if counting is not None:
                await settled(counting)

    async def _from_socket(self, body: Body | Unpacked) -> AsyncGenerator[memoryview, None]:
        """Yield what was written, piece by piece; a piece's buffer is filled again after the next one."""
        size = self._block()
        for buffer in itertools.cycle([memoryview(bytearray(size)) for _ in range(2)]):
            began = self.pace.monotonic()
            got = await settled(asyncio.to_thread(self._fill, body, buffer), body.drop)
            if got is None:
                return
            late = self._is_late(got, began)
            piece = buffer[:got]
            if piece and isinstance(self.place, Pipe):
                await self.place.append(piece)
            yield piece
            if late:
                raise httpx.ReadTimeout("next to nothing came")

    async def _from_httpx(self, response: httpx.Response) -> AsyncGenerator[memoryview, None]:
        """Yield what was written, as httpx reads it."""
        size = self._block() if self.pace.limit else None
        chunks = response.aiter_bytes(size) if self.is_packed else response.aiter_raw(size)
        while True:
            began = self.pace.monotonic()
            chunk = await anext(chunks, None)
            if chunk is None:
                return
            late = self._is_late(len(chunk), began)
            piece = memoryview(chunk)
            self._allow(len(piece))
            if isinstance(self.place, Pipe):
                await self.place.append(piece)
            else:
                await settled(asyncio.to_thread(self.place.append, piece))
            yield piece
            if late:
                raise httpx.ReadTimeout("next to nothing came")

    def _fill(self, body: Body | Unpacked, buffer: memoryview) -> int | None:
        """Read into `buffer`, and write what goes to a file, until it is full or a moment is over; None at the end.

        What breaks after a byte is raised at the next call. Blocks.
        """
        if self._trouble is not None:
            raise self._trouble
        filled = 0
        until = time.monotonic() + GLANCE
        while filled < len(buffer):
            try:
                got = body.read_into(buffer[filled:])
            except httpx.HTTPError as error:
                if not filled:
                    raise
                self._trouble = error
                break
            if got == 0 and not filled:
                return None
            if not got:
                break
            self._allow(got)
            if isinstance(self.place, Partial):
                self.place.append(buffer[filled : filled + got])
            filled += got
            if time.monotonic() >= until:
                break
        return filled

    def _allow(self, count: int) -> None:
        if self.left is not None:
            self.left -= count
            if self.left < 0:
                raise Damaged("the server sends more than the bytes it announced", code="TOO_LONG")

    def _is_late(self, got: int, began: float) -> bool:
        """Whether the connection brings next to nothing: a trickle would hold up the command for ever."""
        self._brought += got
        self._waited += self.pace.monotonic() - began
        if self._waited < PATIENCE:
            return False
        brought, self._brought, self._waited = self._brought, 0, 0.0
        return brought < LEAST and (self.left is None or self.left > brought * _FEW)

    def _block(self) -> int:
        limit = self.pace.limit
        return BLOCK if limit is None else max(1, min(BLOCK, int(limit / _LIMITED_PARTS)))
