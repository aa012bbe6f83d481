"""The archive's bytes while the server still makes it (`WIRE.md`, HTTP beyond protocol 1): read along, or wait for it.

A server that offers it answers the request 200 in chunks, under a strong validator; whatever else it answers means the
finished archive, from the byte that is there. So nothing has to be asked before, and nothing is lost where it is not
offered. A connection that breaks is tried again while the job runs; a silent one is asked anew, since an archive may
not grow for minutes and a dead connection looks the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from exportctl.client import answers, failures
from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.intake import LEAST, Intake, Place, Tally
from exportctl.client.pace import Pace
from exportctl.client.partial import Origin, Partial
from exportctl.client.waiting import backoff
from exportctl.client.wire import GLANCE
from exportctl.model.errors import ExportctlError

ATTEMPTS: Final = 12
"""Connections in a row that bring nothing, for more than a minute: then the finished archive is waited for."""
_WAIT_FIRST: Final = 0.25
_WAIT_MOST: Final = 10.0
_WORTH_IT: Final = 1 << 23
"""Bytes of a rest that is worth other connections."""
_OK, _OTHER = 200, 412
_FAILED, _NOT_IMPLEMENTED = 500, 501  # below: refused; 500 and more may heal (RFC 9110, 15.6)


class _NotOffered(Exception):
    """The server does not send this archive while it makes it."""


class _Silent(Exception):
    """Nothing has come for long: the archive does not grow, or the connection is dead."""


@dataclass(slots=True, kw_only=True)
class Along:
    """One archive read along into `place`. `facts` is done with what the finished archive is.

    `tally` gives the bytes so far, `restart` forgets them for the reason given, `learn` takes the facts as soon as they
    are known. `log` tells a remark: its code and words.
    """

    api: Api
    place: Place
    facts: asyncio.Future[Archive]
    archive: Archive
    pace: Pace
    tally: Callable[[], Tally]
    restart: Callable[[str], None]
    learn: Callable[[Archive], None]
    log: Callable[[str, str], None]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    hands_over: bool = False
    """Whether what lacks when the archive is whole is better fetched otherwise than over the connection at hand."""
    _has_begun: bool = field(init=False, default=False)

    async def read(self) -> None:
        """Bring what can be had until the archive is whole; return when the facts are known. Raises `CannotWrite`."""
        self.pace.begin(self.tally().size, None, quietly=True)
        fruitless = 0
        while not self.facts.done() and fruitless < ATTEMPTS:
            before = self.tally().size
            try:
                await self._read_once()
                break
            except _Silent:
                continue
            except _NotOffered:
                break
            except answers.Changed as change:
                self.restart(str(change))
                fruitless += 1
            except ExportctlError as error:
                if not failures.is_passing(error):
                    raise
                fruitless = 0 if self.tally().size - before >= LEAST else fruitless + 1
                wait = backoff(fruitless, first=_WAIT_FIRST, most=_WAIT_MOST, jitter=self.jitter())
                await self._wait(max(wait, min(_WAIT_MOST, error.retry_after or 0.0)))
                self.log("download-interrupted", error.message)  # not of a job that failed: then this has ended
        self.learn(await asyncio.shield(self.facts))

    async def _wait(self, seconds: float) -> None:
        """Wait, until the archive is whole at the most."""
        waiting = asyncio.ensure_future(self.sleep(seconds))
        both: set[asyncio.Future[Any]] = {waiting, self.facts}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _read_once(self) -> None:
        """Read along over one connection, to its clean end; or until the facts are known and all is here."""
        size, origin = self.tally().size, self.place.origin()
        etag = origin.etag if size and origin is not None else None
        self._has_begun = False
        reading = asyncio.create_task(self._stream(size, etag))
        both: set[asyncio.Future[Any]] = {reading, self.facts}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                self.learn(self.facts.result())
                await self._finish(reading)
            if reading.done():
                reading.result()
        finally:
            if not reading.done():
                reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _finish(self, reading: asyncio.Task[None]) -> None:
        """Let the rest of a whole archive come; where it comes otherwise, or nothing has begun, that is given up."""
        total = self.facts.result().size
        if not self._has_begun:
            return
        if self.hands_over and (total is None or total - self.tally().size > _WORTH_IT):
            return
        while not reading.done() and (total is None or self.tally().size < total):
            await asyncio.wait({reading}, timeout=GLANCE)

    async def _stream(self, size: int, etag: str | None) -> None:
        archive = self.archive
        try:
            async with self.api.open_live(archive.project_id, archive.job_id, offset=size, etag=etag) as response:
                self._accept(response, size, etag)
                self._has_begun = True
                if isinstance(self.place, Partial):
                    self.place.go_on_at(size)  # what was written and not counted in is not gone on with
                await self._take(response)
        except ExportctlError as error:
            if error.answered is not None and (error.answered < _FAILED or error.answered == _NOT_IMPLEMENTED):
                raise _NotOffered from error
            raise

    async def _take(self, response: httpx.Response) -> None:
        try:
            await Intake(place=self.place, tally=self.tally(), pace=self.pace, left=None).take(response)
        except httpx.ReadTimeout as silence:
            raise _Silent from silence
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.api.url) from error

    def _accept(self, response: httpx.Response, size: int, etag: str | None) -> None:
        """Begin with the answer's bytes, or go on with them; raise where they are not those asked for."""
        found = response.headers.get("ETag", "")
        if response.status_code == _OTHER:
            raise answers.Changed("it is being made anew on the server")
        if response.status_code != _OK:  # 416: of this making the server has fewer bytes than are here
            raise answers.Changed("the server has fewer bytes of it")
        try:
            answers.check_kind(response, self.api.url)
        except ExportctlError as other:
            raise _NotOffered from other
        if answers.content_length(response) is not None or not found or answers.is_weak(found):
            raise _NotOffered  # the finished archive; or another making could not be told from this one
        if size and found != etag:
            raise answers.Changed("it is being made anew on the server")
        if not size:
            self.place.begin(Origin(job_id=self.archive.job_id, etag=found, size=None, sha256=None))
