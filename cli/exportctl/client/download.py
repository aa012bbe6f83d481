"""The archive from the server to its place: there or not there.

Bytes go to a partial with the validator, size and digest noted before the first; a broken connection goes on with
`Range` under `If-Range`, a 200 begins anew; size, SHA-256 and every entry's CRC are checked before the partial
becomes the target. Progress is told as lines of the phase `downloading`, a few a second, never falling.

A partial that is complete is never asked for at its end: servers of protocol 1 do not answer that (`WIRE.md`, 10).
What was put together under a weak validator is believed only when every check holds, else fetched anew, once.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from exportctl.client import answers, failures
from exportctl.client.api import Api
from exportctl.client.archive import Archive, Saved, check_space, present_archive, why_gone
from exportctl.client.asking import BUDGET_SECONDS
from exportctl.client.intake import LEAST, Intake, Place, Tally
from exportctl.client.pace import Pace
from exportctl.client.partial import Origin, Partial
from exportctl.client.pipe import Pipe
from exportctl.client.unpack import unpacked
from exportctl.client.verify import check_archive
from exportctl.client.wire import settled
from exportctl.model.errors import Damaged, ExportctlError, NotFound, Unreachable
from exportctl.model.lines import Line, Log

__all__ = ["ATTEMPTS", "Archive", "Download", "Saved", "check_space", "present_archive"]

ATTEMPTS: Final = 6
"""Broken connections in a row, none of which brought `LEAST` bytes, before giving up."""
_FRUITFUL_WAIT: Final = 0.05
"""Seconds before the next connection where the last one brought something."""
_GONE: Final = 410
_TOO_MANY: Final = 429


@dataclass(slots=True, kw_only=True)
class Download:
    """One download. `tell` takes its lines; `sleep` and `jitter` (0 to 1) are the waits between attempts.

    `keeps_partial`: whether what was fetched stays on disk for a later command where this one does not come to its end.
    """

    api: Api
    archive: Archive
    pace: Pace
    tell: Callable[[Line], None]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    verify: bool = True
    keeps_partial: bool = True
    _tally: Tally = field(init=False, default_factory=Tally)
    _total: int | None = field(init=False)
    _sha256: str | None = field(init=False)
    _resumed_from: int | None = field(init=False, default=None)
    _is_pieced: bool = field(init=False, default=False)
    _is_gone: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._total = self.archive.size
        self._sha256 = self.archive.sha256 and self.archive.sha256.lower()

    async def to_file(self, target: Path, *, overwrite: bool) -> Saved:
        """Fetch, check and put the archive at `target`.

        Raises `Damaged` (nothing at the target), `CannotWrite`, `Unreachable`, `NotFound`; the partial stays where it
        can help.
        """
        with Partial(target, self.archive.job_id) as partial:
            await self.fill(partial)
            await settled(asyncio.to_thread(partial.publish, overwrite=overwrite))
        return self.saved(target)

    async def to_folder(self, folder: Path, *, overwrite: bool) -> Saved:
        """Fetch and check the archive, and leave its entries at `folder` instead; raises as `to_file` does."""
        with Partial(folder, self.archive.job_id) as partial:
            await self.fill(partial)
            try:
                await unpacked(partial.path, folder, self.archive.job_id, overwrite=overwrite)
            except Damaged:
                partial.remove()
                raise
            partial.remove()
        return self.saved(folder)

    async def to_descriptor(self, descriptor: int) -> Saved:
        """Write the archive to an open descriptor as it comes; checked at its end. A broken pipe is let through.

        Raises `Damaged` where what was written is wrong, else as `to_file` does.
        """
        with contextlib.closing(Pipe(descriptor)) as pipe:
            await self._fetch(pipe)
        self._check_facts()
        if self.verify and self._sha256 is None and self._tally.stream.denies:
            raise Damaged("the archive is damaged: what was written is not to be used", code="BAD_ARCHIVE")
        return self.saved(None)

    async def fill(self, partial: Partial) -> None:
        """Bring the whole, checked archive into the partial; raises as `to_file` does."""
        try:
            await self._fill(partial)
        except Damaged as error:
            if error.code != answers.ENCODED or not self.keeps_partial:
                partial.remove()
            raise
        except BaseException:
            if self._is_gone or not self.keeps_partial:
                partial.remove()
            raise

    async def _fill(self, partial: Partial) -> None:
        """As `fill`; begins anew once what is wrong was put together, or while others take its place on the server.

        Where a project's jobs share one file, it is seen half-written while another job makes it (`WIRE.md`, 9).
        """
        await self._resume(partial)
        again = 0
        while True:
            try:
                await self._fetch(partial)
                await self._check(partial)
            except Damaged as error:
                if error.code == answers.ENCODED:
                    raise
                reason = await self._reason_to_begin_anew(partial.origin(), again)
                if reason is None:
                    raise
            else:
                return
            self._restart(partial, reason)
            again += 1

    async def _reason_to_begin_anew(self, origin: Origin | None, again: int) -> str | None:
        """Return why another attempt may bring a right archive after a wrong one, None where nothing says so."""
        if self._is_pieced and again == 0:
            return "what was resumed did not match"
        if self.archive.sha256 is not None or origin is None or again >= ATTEMPTS:
            return None
        await self.sleep(min(10.0, 2.0**again) * (0.5 + self.jitter() / 2))
        with contextlib.suppress(ExportctlError):
            if not await self._still_is(origin):
                return "it was replaced on the server"
        return None

    async def _resume(self, partial: Partial) -> None:
        """Take over the bytes of an earlier attempt where they are of this archive."""
        origin, size = partial.origin(), partial.size
        wanted = self.archive
        if (
            size == 0
            or origin is None
            or origin.etag is None
            or origin.job_id != wanted.job_id
            or self._sha256 not in {None, origin.sha256}
            or wanted.size not in {None, origin.size or wanted.size}
            or size > (wanted.size or origin.size or size)
            or not (self.verify or not answers.is_weak(origin.etag))
        ):
            return
        if wanted.size is None and origin.size is not None and not await self._still_is(origin):
            return
        stop = threading.Event()
        tally = await settled(asyncio.to_thread(Tally.of, partial.path, stop), stop.set)
        if tally.size != size:
            return
        self._tally, self._is_pieced, self._resumed_from = tally, True, size
        self._total = self._total or origin.size
        self._sha256 = self._sha256 or origin.sha256
        self._log("download-resumed", f"going on at byte {size}")

    async def _still_is(self, origin: Origin) -> bool:
        """Ask whether the archive begun still is the server's; where nobody can say now, it is to be seen later."""
        try:
            found = await self.api.head_download(self.archive.project_id, self.archive.job_id)
        except ExportctlError as error:
            await self._raise_lasting(error)
            return True
        return (found.get("ETag"), found.get("Content-Length")) == (origin.etag, str(origin.size))

    async def _fetch(self, place: Place) -> None:
        """Bring the bytes that lack, over as many connections as it takes."""
        fruitless = 0
        self.pace.begin(self._tally.size, self._total)
        while not self._is_whole():
            before, wait = self._tally.size, 0.0
            try:
                await self._fetch_once(place)
            except answers.Changed as change:
                self._restart(place, str(change))
                before = 0
            except ExportctlError as error:
                await self._raise_lasting(error)
                is_fruitful = self._tally.size - before >= LEAST or self._is_whole()
                if not is_fruitful and fruitless + 1 >= ATTEMPTS:
                    raise
                self._log("download-interrupted", error.message)
                wait = _FRUITFUL_WAIT if is_fruitful else min(10.0, 2.0**fruitless)
                wait = max(wait * (0.5 + self.jitter() / 2), error.retry_after or 0.0)
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
        self.pace.finish(self._tally.size)

    async def _raise_lasting(self, error: ExportctlError) -> None:
        """Raise what no waiting cures; where the archive is gone for good, that, and the partial goes too."""
        if isinstance(error, NotFound):
            why = error if error.answered == _GONE else await why_gone(self.api, self.archive)
            self._is_gone = why is not None
            raise why or error
        if not _may_pass(error):
            raise error

    async def _fetch_once(self, place: Place) -> None:
        headers = {}
        origin = place.origin()
        if self._tally.size and origin is not None and origin.etag is not None:
            headers = {"Range": f"bytes={self._tally.size}-", "If-Range": origin.etag}
        async with self.api.open_download(self.archive.project_id, self.archive.job_id, headers) as response:
            answers.check_kind(response, self.api.server.url)
            left = None
            match response.status_code:
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
            intake = Intake(place=place, tally=self._tally, pace=self.pace, left=left)
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
        etag = response.headers.get("ETag")
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

    async def _check(self, partial: Partial) -> None:
        """Hold what is there against all that is known of it; a second pass only where the first could not follow."""
        self._check_facts()
        if partial.size != self._tally.size:
            raise Damaged(f"{partial.size} bytes lie where {self._tally.size} came", code="OTHER_SIZE")
        if self._tally.stream.vouches or not (self.verify or self._is_pieced):
            return
        stop = threading.Event()
        await settled(asyncio.to_thread(check_archive, partial.path, stop), stop.set)

    def _check_facts(self) -> None:
        if self._total is not None and self._tally.size != self._total:
            raise Damaged(f"{self._tally.size} bytes came where {self._total} were announced", code="OTHER_SIZE")
        checks = self.verify or self._is_pieced
        if checks and self._sha256 is not None and self._tally.digest.hexdigest() != self._sha256:
            raise Damaged("the bytes do not match the SHA-256 that the server announced", code="OTHER_DIGEST")

    def saved(self, path: Path | None) -> Saved:
        """Return what was brought to `path`, None for a descriptor: after one of the above came to its end."""
        # Bytes to a pipe cannot be read again.
        can_tell = path is not None or self._sha256 is not None or self._tally.stream.vouches
        return Saved(
            path=path,
            bytes=self._tally.size,
            sha256=self._tally.digest.hexdigest(),
            verified=self.verify and can_tell,
            resumed_from=self._resumed_from,
        )

    def _log(self, code: str, message: str) -> None:
        self.tell(
            Log(
                job_id=self.archive.job_id, project_id=self.archive.project_id, level="info", code=code, message=message
            )
        )


def _may_pass(error: ExportctlError) -> bool:
    """Return whether a refusal or a broken connection may be cured by waiting, within reason."""
    if error.retry_after is not None and error.retry_after > BUDGET_SECONDS:
        return False
    return failures.is_passing(error) or error.answered == _TOO_MANY
