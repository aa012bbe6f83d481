"""The archive's bytes to a place, over as many connections as it takes: what lacks is asked for, what is there stays.

A broken connection goes on with `Range` under `If-Range`; a 200, another size or another validator begins anew, so that
old and new bytes never mix. An archive that is still being made is read along first (`live`). Whether what was brought
is right is judged by `download`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import httpx

from exportctl.client import answers, failures
from exportctl.client.api import Api
from exportctl.client.archive import REPLACED, Archive, check_is_own, check_space, why_gone
from exportctl.client.asking import may_pass
from exportctl.client.intake import LEAST, Intake, Place, Tally
from exportctl.client.live import Along
from exportctl.client.pace import Pace
from exportctl.client.partial import Origin, Partial
from exportctl.client.segments import Segments, facts_for, is_worth_it
from exportctl.client.waiting import backoff
from exportctl.model.errors import Damaged, ExportctlError, NotFound, Unreachable
from exportctl.model.lines import Line, Log

ATTEMPTS: Final = 6
"""Broken connections in a row, none of which brought `LEAST` bytes, before giving up."""
_GONE: Final = 410
_FRUITFUL_WAIT: Final = 0.05
"""Seconds before the next connection where the last one brought something."""


@dataclass(slots=True, kw_only=True)
class Fetching:
    """One archive being fetched; `Download` judges and places it.

    `tell` takes its lines; `sleep` and `jitter` (0 to 1) are the waits between attempts.
    """

    api: Api
    archive: Archive
    pace: Pace
    tell: Callable[[Line], None]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    facts: asyncio.Future[Archive] | None = None
    """Of an archive that the server still makes: done with what it is when it is whole."""
    verify: bool = True
    connections: int = 1
    note: Callable[[str], None] = lambda _: None
    """Takes what only who asked for details wants to hear."""
    _tally: Tally = field(init=False, default_factory=Tally)
    _total: int | None = field(init=False)
    _sha256: str | None = field(init=False)
    _resumed_from: int | None = field(init=False, default=None)
    _is_pieced: bool = field(init=False, default=False)
    _is_gone: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._total = self.archive.size
        self._sha256 = self.archive.sha256 and self.archive.sha256.lower()

    async def _fetch(self, place: Place) -> None:
        """Bring the bytes that lack, over as many connections as it takes."""
        if self.facts is None:
            self.pace.begin(self._tally.size, self._total)
        else:
            await self._read_along(place, self.facts)
        await self._fetch_rest(place)
        self.pace.finish(self._tally.size)

    async def _fetch_rest(self, place: Place) -> None:
        fruitless = 0
        while not self._is_whole():
            before, wait = self._tally.size, 0.0
            try:
                await (self._fetch_once(place) if self.connections == 1 else self._fetch_side_by_side(place))
            except answers.Changed as change:
                self._restart(place, str(change))
                before = 0
            except ExportctlError as error:
                await self._raise_lasting(error)
                is_fruitful = self._tally.size - before >= LEAST or self._is_whole()
                if not is_fruitful and fruitless + 1 >= ATTEMPTS:
                    raise
                self._log("download-interrupted", error.message)
                first, failed = (_FRUITFUL_WAIT, 0) if is_fruitful else (1.0, fruitless)
                wait = backoff(failed, first=first, most=10.0, jitter=self.jitter())
                wait = max(wait, error.retry_after or 0.0)
            else:
                if self._total is None:
                    break
            fruitless = 0 if self._tally.size - before >= LEAST else fruitless + 1
            if fruitless >= ATTEMPTS and not self._is_whole():
                raise Unreachable(
                    "the server keeps breaking off the download", hint="exportctl download goes on with it"
                )
            if wait:
                await self.sleep(wait)

    async def _raise_lasting(self, error: ExportctlError) -> None:
        """Raise what no waiting cures; where the archive is gone for good, that, and the partial goes too."""
        if isinstance(error, NotFound):
            is_known = error.answered == _GONE or error.code == REPLACED
            why = error if is_known else await why_gone(self.api, self.archive)
            self._is_gone = why is not None
            raise why or error
        if not may_pass(error):
            raise error

    async def _read_along(self, place: Place, facts: asyncio.Future[Archive]) -> None:
        """Take what can be had of the archive while it is made; afterwards it is known."""
        along = Along(
            api=self.api,
            place=place,
            facts=facts,
            archive=self.archive,
            pace=self.pace,
            tally=lambda: self._tally,
            restart=lambda reason: self._restart(place, reason),
            learn=lambda archive: self._learn(place, archive),
            log=self._log,
            sleep=self.sleep,
            jitter=self.jitter,
            hands_over=self.connections > 1 and isinstance(place, Partial),
        )
        await along.read()
        self.facts = None
        # Should it not match what the server then says of it, it is fetched anew.
        self._is_pieced = self._tally.size > 0

    def _learn(self, place: Place, archive: Archive) -> None:
        """Note what the archive is; the bytes that are here are its first ones."""
        if archive == self.archive:
            return
        self.archive = archive
        self._total, self._sha256 = archive.size, archive.sha256 and archive.sha256.lower()
        self.pace.expect(self._total)
        origin = place.origin()
        if origin is not None and origin.job_id == archive.job_id:
            place.note(replace(origin, size=self._total, sha256=self._sha256))
        if isinstance(place, Partial):
            check_space(place.target, archive)

    async def _fetch_side_by_side(self, place: Place) -> None:
        """Bring the bytes that lack over several connections, or over one where the server does not give parts."""
        segments = await self._segments(place)
        if segments is None:
            self.connections = 1
            self.note("the server gives this archive over one connection only")
            await self._fetch_once(place)
            return
        self._is_pieced = True
        try:
            await segments.fetch()
        except answers.Changed:
            self.connections = 1
            if self._tally.size:
                raise
            self.note("the server does not give parts of this archive: one connection")
            await self._fetch_once(place)

    async def _segments(self, place: Place) -> Segments | None:
        origin = place.origin()
        if not self._tally.size or origin is None or origin.etag is None or origin.size is None:
            found = await facts_for(self.api, self.archive)
            if found is None or found[1] != (self.archive.size or found[1]) or self._tally.size:
                return None
            etag, size, digest = found
            self._total, self._sha256 = size, self._sha256 or digest
            origin = Origin(job_id=self.archive.job_id, etag=etag, size=size, sha256=self._sha256)
            if isinstance(place, Partial):
                check_space(place.target, replace(self.archive, size=size))
            place.begin(origin)
            self.pace.expect(size)
        etag, size = origin.etag or "", origin.size or 0
        if not is_worth_it(size - self._tally.size) or (answers.is_weak(etag) and not self.verify):
            return None
        return Segments(
            api=self.api,
            archive=self.archive,
            place=place,
            tally=self._tally,
            pace=self.pace,
            etag=etag,
            total=size,
            connections=self.connections,
            sleep=self.sleep,
            jitter=self.jitter,
        )

    async def _fetch_once(self, place: Place) -> None:
        headers = {}
        origin = place.origin()
        if self._tally.size and origin is not None and origin.etag is not None:
            headers = {"Range": f"bytes={self._tally.size}-", "If-Range": origin.etag}
        async with self.api.open_download(self.archive.project_id, self.archive.job_id, headers) as response:
            answers.check_kind(response, self.api.url, may_be_packed=True)
            check_is_own(self.archive, response.headers)
            left = None
            match response.status_code:
                case 206 if answers.is_packed(response):
                    raise answers.Changed("the server packs its parts once more")
                case 206 if headers and origin is not None:
                    part = answers.rest(response, self._tally.size, etag=origin.etag, size=origin.size)
                    left, self._total = part.bytes, self._total or part.total
                    self._is_pieced = True  # validators have lied before: weak ones, and those made of size and time
                case 200:
                    if self._tally.size:
                        self._restart(place, "the server sent it from its beginning")
                    self._begin(place, response)
                case 206:
                    raise answers.Changed("the server sent a part where it was asked for all")
                case _:
                    self._check_end(response)
                    return
            if isinstance(place, Partial):
                place.go_on_at(self._tally.size)  # what was written and not counted in is not gone on with
            if left is None and self._total is not None:
                left = self._total - self._tally.size
            intake = Intake(
                place=place,
                tally=self._tally,
                pace=self.pace,
                left=left,
                is_packed=answers.is_packed(response),
            )
            try:
                await intake.take(response)
            except httpx.HTTPError as error:
                raise failures.from_transport(error, self.api.url) from error

    def _begin(self, place: Place, response: httpx.Response) -> None:
        total, digest = answers.content_length(response), answers.sha256_of(response)
        wanted = self.archive
        if total is not None and total != wanted.size:
            if wanted.size is not None and wanted.sha256 is not None:
                raise Damaged(
                    f"the server has an archive of {total} bytes where it announced {wanted.size}", code="OTHER_SIZE"
                )
            # A size without a digest was asked for before, not announced: the archive may be another by now.
            self.archive = wanted = replace(wanted, size=total)
            if isinstance(place, Partial):
                check_space(place.target, wanted)
        self._total = wanted.size
        if wanted.sha256 is None:
            self._sha256 = digest
        # What comes packed has no parts: it is begun anew where it breaks off.
        etag = None if answers.is_packed(response) else response.headers.get("ETag")
        place.begin(Origin(job_id=wanted.job_id, etag=etag, size=self._total, sha256=self._sha256))
        self.pace.begin(0, self._total)

    def _check_end(self, response: httpx.Response) -> None:
        """Take what is there for all where the server says so; begin anew where it does not."""
        part = answers.content_range(response)
        if part is None or part.total != self._tally.size or self._tally.size == 0:
            raise answers.Changed("the server has no such range")
        self._total = part.total

    def _restart(self, place: Place, reason: str) -> None:
        wanted = self.archive
        place.begin(Origin(job_id=wanted.job_id, etag=None, size=wanted.size, sha256=wanted.sha256))
        self._tally, self._resumed_from, self._is_pieced = Tally(), None, False
        self._total, self._sha256 = wanted.size, wanted.sha256 and wanted.sha256.lower()
        self._log("download-restarted", f"the download begins anew: {reason}")

    def _is_whole(self) -> bool:
        return self._total is not None and self._tally.size >= self._total

    def _log(self, code: str, message: str, *, level: Literal["info", "warning"] = "info") -> None:
        archive = self.archive
        self.tell(Log(job_id=archive.job_id, project_id=archive.project_id, level=level, code=code, message=message))
