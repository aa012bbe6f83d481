"""An archive over several connections at once (`--connections`): for links whose latency keeps one from being fast.

Ranges side by side, each under `If-Range` of the one validator, in order to their place: what is there is always the
archive's beginning, and any later command goes on behind it. Who is ahead waits in memory, `MEMORY` at most. An answer
that is not the part asked for ends it all: one connection judges then.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx

from exportctl.client import answers, failures
from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.asking import may_pass
from exportctl.client.intake import LEAST, PATIENCE, Place, Tally
from exportctl.client.pace import Pace
from exportctl.client.partial import Partial
from exportctl.client.waiting import backoff
from exportctl.client.wire import BODY, GLANCE, Body, settled
from exportctl.model.errors import ExportctlError

MOST: Final = 16
"""Connections: what usual servers take from one client."""
MEMORY: Final = 1 << 24
"""Bytes that wait at most: less than 60 MB are resident then, whatever the number of connections."""
SMALLEST: Final = 1 << 19
_LARGEST: Final = 1 << 22
"""Bytes of one request: a round trip between two of them is little beside a few MB, also on a link of 100 ms."""
ATTEMPTS: Final = 6
_PARTIAL: Final = 206
_PARTS_A_SECOND: Final = 10
"""Pieces that a limited rate is read in."""


@dataclass(slots=True, eq=False)
class _Segment:
    """The bytes from `start` to `stop`, of which `filled` are in `buffer`, lent while they come and wait."""

    start: int
    stop: int
    buffer: memoryview = field(default_factory=lambda: memoryview(b""))
    filled: int = 0
    task: asyncio.Task[None] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(slots=True, kw_only=True)
class Segments:
    """The bytes that lack of an archive of `total` bytes known by `etag`, over `connections` connections."""

    api: Api
    archive: Archive
    place: Place
    tally: Tally
    pace: Pace
    etag: str
    total: int
    connections: int
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    _pool: ThreadPoolExecutor = field(init=False)
    _free: list[memoryview] = field(init=False, default_factory=list)
    _next: int = field(init=False, default=0)

    async def fetch(self) -> None:
        """Bring them all. Raises `Changed` where an answer is not the part asked for, and as a download does."""
        largest = max(SMALLEST, min(_LARGEST, MEMORY // (2 * self.connections)))
        self._next = self.tally.size
        if isinstance(self.place, Partial):
            self.place.go_on_at(self._next)  # what was written and not counted in is not gone on with
        turn = asyncio.Semaphore(self.connections)
        segments: deque[_Segment] = deque()
        # Threads of its own: the loop's are few, and hash and write meanwhile.
        self._pool = ThreadPoolExecutor(self.connections, thread_name_prefix="segment")
        try:
            self._begin(segments, turn, largest)
            while segments:
                await self._take(segments[0])
                self._free.append(segments.popleft().buffer)
                self._begin(segments, turn, largest)
        finally:
            tasks = [segment.task for segment in segments if segment.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pool.shutdown(wait=False)

    def _begin(self, segments: deque[_Segment], turn: asyncio.Semaphore, largest: int) -> None:
        """Line up twice as much as there are connections: nobody waits for the slowest at once."""
        while self._next < self.total and len(segments) < 2 * self.connections:
            # Towards the end ever smaller, so that all connections come to it together.
            share = (self.total - self._next) // (2 * self.connections)
            stop = min(self._next + max(SMALLEST, min(share, largest)), self.total)
            segment = _Segment(self._next, stop)
            segment.task = asyncio.create_task(self._bring(segment, turn, largest))
            segments.append(segment)
            self._next = stop

    async def _take(self, segment: _Segment) -> None:
        """Bring one segment to the place while it is filled."""
        done = 0
        while done < segment.size:
            if segment.filled == done:
                if segment.task is not None and segment.task.done():
                    segment.task.result()
                segment.news.clear()
                await segment.news.wait()
                continue
            piece = segment.buffer[done : segment.filled]
            if isinstance(self.place, Partial):
                await settled(asyncio.to_thread(self.place.append, piece))
            else:
                await self.place.append(piece)
            await settled(asyncio.to_thread(self.tally.add, piece))
            done += len(piece)
            self.pace.at(self.tally.size)

    async def _bring(self, segment: _Segment, turn: asyncio.Semaphore, largest: int) -> None:
        """Fill one segment, over as many connections as it takes."""
        fruitless = 0
        try:
            async with turn:
                segment.buffer = self._free.pop() if self._free else memoryview(bytearray(largest))
                while segment.filled < segment.size:
                    before = segment.filled
                    try:
                        await self._ask(segment)
                    except ExportctlError as error:
                        is_fruitful = segment.filled - before >= LEAST
                        fruitless = 0 if is_fruitful else fruitless + 1
                        if not may_pass(error) or fruitless >= ATTEMPTS:
                            raise
                        wait = backoff(fruitless, first=0.1, most=10.0, jitter=self.jitter())
                        await self.sleep(max(wait, error.retry_after or 0.0))
        finally:
            segment.news.set()

    async def _ask(self, segment: _Segment) -> None:
        start = segment.start + segment.filled
        headers = {"Range": f"bytes={start}-{segment.stop - 1}", "If-Range": self.etag}
        async with self.api.open_download(self.archive.project_id, self.archive.job_id, headers) as response:
            answers.check_kind(response, self.api.url, may_be_packed=True)
            if response.status_code != _PARTIAL or answers.is_packed(response):
                raise answers.Changed("the server has no such part of it any more")
            part = answers.rest(response, start, etag=self.etag, size=self.total)
            if part.bytes > segment.stop - start:
                raise answers.Changed("the server sent another range than asked for")
            try:
                await self._read(segment, response)
            except httpx.HTTPError as error:
                raise failures.from_transport(error, self.api.url) from error

    async def _read(self, segment: _Segment, response: httpx.Response) -> None:
        loop = asyncio.get_running_loop()
        body = response.extensions.get(BODY)
        chunks = None if isinstance(body, Body) else response.aiter_raw()
        waited_since, before = time.monotonic(), segment.filled
        while segment.filled < segment.size:
            if isinstance(body, Body):
                view = segment.buffer[segment.filled : segment.size][: self._piece()]
                got = await settled(loop.run_in_executor(self._pool, _fill, body, view), body.drop)
                if got is None:
                    return
            else:
                chunk = await anext(chunks, None) if chunks is not None else None
                if chunk is None:
                    return
                got = min(len(chunk), segment.size - segment.filled)
                segment.buffer[segment.filled : segment.filled + got] = chunk[:got]
            segment.filled += got
            if got:
                segment.news.set()
            if time.monotonic() - waited_since >= PATIENCE:
                if segment.filled - before < LEAST:
                    raise httpx.ReadTimeout("next to nothing came")
                waited_since, before = time.monotonic(), segment.filled
            await self.pace.spend(got)

    def _piece(self) -> int:
        limit = self.pace.limit
        return _LARGEST if limit is None else max(1, int(limit / _PARTS_A_SECOND))


def _fill(body: Body, view: memoryview) -> int | None:
    """Read until `view` is full or a moment is over; None at the end. What breaks after a byte is seen next. Blocks."""
    filled = 0
    until = time.monotonic() + GLANCE
    while filled < len(view) and time.monotonic() < until:
        try:
            got = body.read_into(view[filled:])
        except httpx.HTTPError:
            if not filled:
                raise
            break
        if got == 0 and not filled:
            return None
        if not got:
            break
        filled += got
    return filled


def is_worth_it(rest: int) -> bool:
    """Return whether so many bytes are worth more than one connection."""
    return rest >= 2 * SMALLEST


async def facts_for(api: Api, archive: Archive) -> tuple[str, int, str | None] | None:
    """Ask what is to be fetched side by side: its validator, size and SHA-256; None where the server gives no parts."""
    with contextlib.suppress(ExportctlError):
        headers = await api.head_download(archive.project_id, archive.job_id)
        etag, length = headers.get("ETag"), headers.get("Content-Length", "")
        is_plain = headers.get("Content-Encoding", "identity").strip().lower() == "identity"
        if etag and is_plain and length.isdecimal() and headers.get("Accept-Ranges", "bytes").strip().lower() != "none":
            return etag, int(length), answers.sha256_in(headers)
    return None
