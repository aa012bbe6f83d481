"""The archive from the server to its place: there or not there.

Bytes go to a partial with the validator, size and digest noted before the first; a broken connection goes on with
`Range` under `If-Range`, a 200 begins anew; size, SHA-256 and every entry's CRC are checked before the partial
becomes the target. Progress is told as lines of the phase `downloading`, a few a second, never falling.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import httpx

from exportctl.client import failures
from exportctl.client.api import Api
from exportctl.client.pace import Pace
from exportctl.client.partial import Origin, Partial, cannot_write
from exportctl.client.pipe import Pipe
from exportctl.client.verify import BLOCK, check_archive
from exportctl.model.errors import Damaged, ExportctlError, Unreachable
from exportctl.model.lines import Line, Log

ATTEMPTS: Final = 6
"""Broken connections in a row, none of which brought a byte, before giving up."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The archive of a finished job as the server describes it; None for what it does not say."""

    project_id: str
    job_id: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What lies there now.

    `path` None: written to standard output. `resumed_from` is the first byte fetched, where not 0.
    """

    path: Path | None
    bytes: int
    sha256: str
    verified: bool
    resumed_from: int | None


Place: TypeAlias = Partial | Pipe
"""Where the bytes go."""


class _Changed(Exception):
    """The server has another archive than the one begun: begin anew."""


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
    _digest: "hashlib._Hash" = field(init=False, default_factory=hashlib.sha256)
    _size: int = field(init=False, default=0)
    _resumed_from: int | None = field(init=False, default=None)

    async def to_file(self, target: Path, *, overwrite: bool) -> Saved:
        """Fetch, check and put the archive at `target`.

        Raises `Damaged` (nothing at the target), `CannotWrite`, `Unreachable`, `NotFound`; the partial stays where it
        can help.
        """
        with Partial(target, self.archive.job_id) as partial:
            try:
                await self._fill(partial)
                partial.publish(overwrite=overwrite)
            except Damaged:
                partial.remove()
                raise
            except BaseException:
                if not self.keeps_partial:
                    partial.remove()
                raise
        return self._saved(target)

    async def to_descriptor(self, descriptor: int) -> Saved:
        """Write the archive to an open descriptor as it comes; checked at its end. A broken pipe is let through.

        Raises `Damaged` where what was written is wrong, else as `to_file` does.
        """
        await self._fetch(Pipe(descriptor))
        self._check_facts()
        return self._saved(None)

    async def _fill(self, partial: Partial) -> None:
        """Bring the whole, right archive into the partial; what was resumed and is wrong is fetched anew, once."""
        await self._resume(partial)
        try:
            await self._fetch(partial)
            await self._check(partial)
        except Damaged:
            if self._resumed_from is None:
                raise
            self._restart(partial, "what was resumed did not match")
            await self._fetch(partial)
            await self._check(partial)

    async def _resume(self, partial: Partial) -> None:
        """Take over the bytes of an earlier attempt where they are of this archive."""
        origin, size = partial.origin(), partial.size
        wanted = self.archive
        if (
            size == 0
            or origin is None
            or origin.etag is None
            or (origin.job_id, origin.sha256) != (wanted.job_id, wanted.sha256)
            or (wanted.size is not None and size > wanted.size)
        ):
            return
        digest = await asyncio.to_thread(_digest_of, partial.path, size)
        if digest is None:
            return
        self._digest = digest
        self._size = self._resumed_from = size
        partial.seek_end()
        self._log("download-resumed", f"going on at byte {size}")

    async def _fetch(self, place: Place) -> None:
        """Bring the bytes that lack, over as many connections as it takes."""
        fruitless = 0
        self.pace.begin(self._size, self.archive.size)
        while not self._is_whole():
            before = self._size
            try:
                await self._fetch_once(place)
            except _Changed as change:
                self._restart(place, str(change))
                fruitless += 1
            except ExportctlError as error:
                if not failures.is_passing(error):
                    raise
                fruitless = 0 if self._size > before else fruitless + 1
                if fruitless >= ATTEMPTS:
                    raise
                self._log("download-interrupted", error.message)
                await self.sleep(min(10.0, 0.5 * 2**fruitless) * (0.5 + self.jitter() / 2))
            else:
                if self.archive.size is None:
                    break
                fruitless = 0 if self._size > before else fruitless + 1
            if fruitless >= ATTEMPTS:
                raise Unreachable(
                    "the server keeps breaking off the download", hint="exportctl download goes on with it"
                )
        self.pace.finish(self._size)

    async def _fetch_once(self, place: Place) -> None:
        headers = {}
        origin = place.origin()
        if self._size and origin is not None and origin.etag is not None:
            headers = {"Range": f"bytes={self._size}-", "If-Range": origin.etag}
        async with self.api.open_download(self.archive.project_id, self.archive.job_id, headers) as response:
            match response.status_code:
                case 206 if headers:
                    self._check_range(response, origin)
                case 200:
                    if self._size:
                        self._restart(place, "the server sent it from its beginning")
                    self._begin(place, response)
                case 206:
                    raise _Changed("the server sent a part where it was asked for all")
                case _:
                    raise _Changed("the server has no such range")
            async with contextlib.aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    if self.archive.size is not None and self._size + len(chunk) > self.archive.size:
                        raise Damaged(
                            f"the server sends more than the {self.archive.size} bytes it announced", code="TOO_LONG"
                        )
                    if isinstance(place, Pipe):
                        await place.append(chunk)
                    else:
                        place.append(chunk)
                    self._count(chunk)

    def _begin(self, place: Place, response: httpx.Response) -> None:
        total = self._total(response)
        if self.archive.size is not None and total is not None and total != self.archive.size:
            raise Damaged(
                f"the server has an archive of {total} bytes where it announced {self.archive.size}", code="OTHER_SIZE"
            )
        etag = response.headers.get("ETag")
        place.begin(Origin(job_id=self.archive.job_id, etag=etag, size=total, sha256=self.archive.sha256))
        self.pace.begin(0, total)

    def _check_range(self, response: httpx.Response, origin: Origin | None) -> None:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self._size:
            raise _Changed("the server sent another range than asked for")
        if origin is not None and origin.size is not None and found[3] not in {"*", str(origin.size)}:
            raise _Changed("its size changed on the server")
        if origin is not None and response.headers.get("ETag", origin.etag) != origin.etag:
            raise _Changed("it changed on the server")

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in response.aiter_raw():
                yield chunk
                await self.pace.hold()
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.api.server.url) from error

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._size += len(chunk)
        self.pace.at(self._size)

    def _restart(self, place: Place, reason: str) -> None:
        place.begin(Origin(job_id=self.archive.job_id, etag=None, size=self.archive.size, sha256=self.archive.sha256))
        self._digest, self._size, self._resumed_from = hashlib.sha256(), 0, None
        self._log("download-restarted", f"the download begins anew: {reason}")

    def _is_whole(self) -> bool:
        return self.archive.size is not None and self._size >= self.archive.size

    async def _check(self, partial: Partial) -> None:
        self._check_facts()
        if not self.verify:
            return
        stop = threading.Event()
        try:
            await asyncio.to_thread(check_archive, partial.path, stop)
        finally:
            stop.set()

    def _check_facts(self) -> None:
        wanted = self.archive
        if wanted.size is not None and self._size != wanted.size:
            raise Damaged(f"{self._size} bytes came where {wanted.size} were announced", code="OTHER_SIZE")
        if self.verify and wanted.sha256 is not None and self._digest.hexdigest() != wanted.sha256.lower():
            raise Damaged("the bytes do not match the SHA-256 that the server announced", code="OTHER_DIGEST")

    def _saved(self, path: Path | None) -> Saved:
        # Bytes to a pipe cannot be read again: without the server's digest nothing vouches for them.
        verified = self.verify and (path is not None or self.archive.sha256 is not None)
        return Saved(
            path=path,
            bytes=self._size,
            sha256=self._digest.hexdigest(),
            verified=verified,
            resumed_from=self._resumed_from,
        )

    @staticmethod
    def _total(response: httpx.Response) -> int | None:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    def _log(self, code: str, message: str) -> None:
        self.tell(
            Log(
                job_id=self.archive.job_id, project_id=self.archive.project_id, level="info", code=code, message=message
            )
        )


async def present_archive(path: Path, archive: Archive) -> Saved | None:
    """Return the file at `path` as saved where it is this archive already; None where it is not, or none can tell."""
    if archive.size is None or archive.sha256 is None:
        return None
    try:
        digest = await asyncio.to_thread(_digest_of, path, archive.size)
    except OSError:
        return None
    if digest is None or digest.hexdigest() != archive.sha256.lower():
        return None
    return Saved(path=path, bytes=archive.size, sha256=digest.hexdigest(), verified=True, resumed_from=archive.size)


def check_space(target: Path, archive: Archive) -> None:
    """Raise `CannotWrite` where the disk of `target` has no room for what of the archive is not there yet."""
    if archive.size is None:
        return
    lacking = archive.size
    with contextlib.suppress(OSError):
        lacking -= Partial(target, archive.job_id).path.stat().st_size
    try:
        disk = os.statvfs(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    if disk.f_bavail * disk.f_frsize < lacking:
        raise cannot_write(target, OSError(errno.ENOSPC, "no space"))


def _digest_of(path: Path, size: int) -> "hashlib._Hash | None":
    """Return the digest of a file of that size, None for one of another and for what is no file."""
    if not path.is_file():  # to open a pipe would wait for its writer
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            return None
        while block := file.read(BLOCK):
            digest.update(block)
    return digest
