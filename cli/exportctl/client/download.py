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
from dataclasses import dataclass
from pathlib import Path

from exportctl.client import answers
from exportctl.client.archive import Saved, goes_on
from exportctl.client.fetching import ATTEMPTS, Fetching
from exportctl.client.intake import Tally
from exportctl.client.partial import Origin, Partial
from exportctl.client.pipe import Pipe
from exportctl.client.unpack import unpacked
from exportctl.client.verify import check_archive
from exportctl.client.waiting import backoff
from exportctl.client.wire import settled
from exportctl.model.errors import Damaged, ExportctlError


@dataclass(slots=True, kw_only=True)
class Download(Fetching):
    """One download. `verify`: whether what comes is held against its digest and its own CRCs.

    `keeps_partial`: whether what was fetched stays on disk for a later command where this one does not come to its end.
    """

    keeps_partial: bool = True

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
                digest = self._tally.digest.hexdigest()
                await unpacked(partial.path, folder, self.archive.job_id, sha256=digest, overwrite=overwrite)
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
        saved = self.saved(None)
        if self.verify and not saved.verified:
            words = "nothing vouches for what was written: no digest, nor entries that can be read as they come"
            self._log("unverified", words, level="warning")
        return saved

    async def fill(self, partial: Partial) -> None:
        """Bring the whole, checked archive into the partial; raises as `to_file` does."""
        try:
            await self._fill(partial)
        except Damaged as error:
            if error.code != answers.ENCODED or not self.keeps_partial:
                partial.remove()
            raise
        except BaseException:
            # Of one in the making: the job ended without an archive, or nothing has come of it yet.
            is_nothing = self.facts is not None and (self.facts.cancelled() or not partial.size)
            if self._is_gone or is_nothing or not self.keeps_partial:
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
        await self.sleep(backoff(again, first=1.0, most=10.0, jitter=self.jitter()))
        with contextlib.suppress(ExportctlError):
            if not await self._still_is(origin):
                return "it was replaced on the server"
        return None

    async def _resume(self, partial: Partial) -> None:
        """Take over the bytes of an earlier attempt where they are of this archive."""
        origin, size = partial.origin(), partial.size
        wanted = self.archive
        if origin is None or not goes_on(origin, size, wanted, verify=self.verify):
            return
        if self.facts is None and wanted.size is None and origin.size is not None and not await self._still_is(origin):
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
            raise Damaged(
                "the bytes do not match the SHA-256 that the server announced",
                hint="the same command fetches them anew; where that ends alike: exportctl run",
                code="OTHER_DIGEST",
            )

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
