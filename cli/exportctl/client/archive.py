"""The archive of a finished job: what the server says of it, what lies here of it, and whether there is room."""

import asyncio
import contextlib
import hashlib
import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx

from exportctl.client.answers import is_weak
from exportctl.client.api import Api
from exportctl.client.asking import moment_of
from exportctl.client.partial import Origin, Partial, cannot_write, no_room
from exportctl.client.verify import BLOCK, check_archive
from exportctl.client.wire import settled
from exportctl.model.errors import ExportctlError, NotFound

REPLACED: Final = "ARCHIVE_REPLACED"
_LATER: Final = timedelta(milliseconds=50)
_SIZE_AND_TIME: Final = re.compile(r'W/"([0-9a-f]{1,16})-([0-9a-f]{1,16})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The archive of a finished job as the server describes it; None for what it does not say.

    `completed_at`: when its job ended, where only that tells it from a later job's archive in its place (protocol 1).
    """

    project_id: str
    job_id: str
    size: int | None
    sha256: str | None
    completed_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What lies there now.

    `path` None: written to standard output; a folder where the archive was extracted and not kept. `resumed_from` is
    the first byte fetched, where not 0.
    """

    path: Path | None
    bytes: int
    sha256: str
    verified: bool
    resumed_from: int | None


def goes_on(origin: Origin, size: int, wanted: Archive, *, verify: bool) -> bool:
    """Return whether `size` bytes of `origin` may be the first ones of the archive wanted.

    Where the server cannot tell them apart for sure, only what is verified afterwards may.
    """
    return (
        size > 0
        and origin.etag is not None
        and origin.job_id == wanted.job_id
        and (wanted.sha256 is None or origin.sha256 in {None, wanted.sha256.lower()})
        and wanted.size in {None, origin.size or wanted.size}
        and size <= (wanted.size or origin.size or size)
        and (verify or not is_weak(origin.etag))
    )


async def present_archive(path: Path, archive: Archive, api: Api | None = None) -> Saved | None:
    """Return the file at `path` as saved where it is this archive already; None where it is not, or none can tell.

    `api` is asked where the server gave no digest (protocol 1).
    """
    if archive.size is None or archive.sha256 is None:
        return None if api is None else await _present_without_digest(path, archive, api)
    try:
        digest = await asyncio.to_thread(_digest_of, path, archive.size)
    except OSError:
        return None
    if digest is None or digest != archive.sha256.lower():
        return None
    return Saved(path=path, bytes=archive.size, sha256=digest, verified=True, resumed_from=archive.size)


async def _present_without_digest(path: Path, archive: Archive, api: Api) -> Saved | None:
    """Take a file for the archive that has its size, was written after it was made, and whose own CRCs hold."""
    if not await asyncio.to_thread(path.is_file):
        return None
    stop = threading.Event()
    try:
        told = await api.head_download(archive.project_id, archive.job_id)
        made, size = moment_of(told.get("Last-Modified")), told.get("Content-Length", "")
        if made is None or not size.isdecimal():
            return None
        looking = asyncio.to_thread(_digest_of_right, path, int(size), made.timestamp(), stop)
        digest = await settled(looking, stop.set)
    except (OSError, ExportctlError):
        return None
    if digest is None:
        return None
    return Saved(path=path, bytes=int(size), sha256=digest, verified=True, resumed_from=int(size))


async def why_gone(api: Api, archive: Archive) -> NotFound | None:
    """Return why an archive that protocol 1 answers with 404 will not come back; None where that is not known now.

    Whoever stands before the server may answer so too, while it restarts: the job's status is asked. The job can be
    forgotten, or completed and its archive gone (`WIRE.md`, 8 and 14).
    """
    if api.protocol != 1:
        return None
    try:
        seen = await api.status(archive.project_id, archive.job_id)
    except NotFound as gone:
        return gone
    except ExportctlError:
        return None
    return NotFound(
        f"the archive of job {archive.job_id} is no longer on the server, which calls the job {seen.status}",
        hint="exportctl run makes a new one",
        code="ARCHIVE_GONE",
    )


def check_is_own(archive: Archive, headers: httpx.Headers) -> None:
    """Raise `NotFound` for a file that was written after its job had ended: all jobs of a project share it (9).

    Both times are the server's. The file of the job itself was seen to be 3 to 7 ms older than its end, and no later
    export to be done within 100 ms of it.
    """
    made = _made_at(headers)
    if made is None or archive.completed_at is None:
        return
    with contextlib.suppress(ValueError, TypeError):  # a time that cannot be read or compared says nothing
        if made - datetime.fromisoformat(archive.completed_at) > _LATER:
            raise NotFound(
                f"the archive of job {archive.job_id} is no longer on the server: a later export of the project is in "
                "its place",
                hint="exportctl run makes a new one",
                code=REPLACED,
            )


def _made_at(headers: httpx.Headers) -> datetime | None:
    """Return when the file was written: to the millisecond where its tag is size and time, else `Last-Modified`."""
    tag, size = _SIZE_AND_TIME.fullmatch(headers.get("ETag", "")), headers.get("Content-Length", "")
    if tag is not None and size.isdecimal() and tag[1] == f"{int(size):x}":
        with contextlib.suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(int(tag[2], 16) / 1000, UTC)
    return moment_of(headers.get("Last-Modified"))


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
    if (free := disk.f_bavail * disk.f_frsize) < lacking:
        raise no_room(target.parent, lacking, free)


def _digest_of_right(path: Path, size: int, made: float, stop: threading.Event) -> str | None:
    """Return the SHA-256 of a right archive of that size, written after `made`; raise `Damaged` for a wrong one."""
    here = path.stat()
    if here.st_size != size or here.st_mtime < made:
        return None
    check_archive(path, stop)
    return _digest_of(path, size)


def _digest_of(path: Path, size: int) -> str | None:
    """Return the SHA-256 of a file of that size, None for one of another and for what is no file."""
    if not path.is_file():  # to open a pipe would wait for its writer
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            return None
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
