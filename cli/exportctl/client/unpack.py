"""`--extract`: an archive's entries in a folder, all of them or none; nothing is written that was not checked before.

Refused are names that lead out of the folder or that two systems read differently, names that fold together, links
and devices, entries that overlap, and bombs. Then all is unpacked aside, beside the folder, and renamed into place; a
command that is killed leaves only what the next one into that folder takes away, be it of another job. Everything
blocks; `stop` ends it between two blocks.
"""

import asyncio
import contextlib
import errno
import glob
import os
import re
import shutil
import stat
import threading
import unicodedata
import zipfile
from pathlib import Path
from typing import Final

from exportctl.client.destination import JOB_LETTERS, check_folder_free
from exportctl.client.extracted import Extracted, forget, left_at
from exportctl.client.partial import Partial, cannot_write, no_room
from exportctl.client.verify import BLOCK, DAMAGE
from exportctl.client.wire import settled
from exportctl.model.errors import CannotWrite, Damaged

MOST_RATIO: Final = 100
"""Bytes that one byte of an archive may unpack to, over all; tables and polygons reach 20."""
ALWAYS_FINE: Final = 64 << 20
"""Bytes that an archive may unpack to whatever its ratio."""
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 1024
_DEEPEST: Final = 32
"""Folders within each other; each costs memory while names are compared."""
_ASIDE: Final = ".extract"
"""How the names of all that is beside the folder begin, behind the job's letters: the mark's too."""
_LOCAL_HEADER: Final = 30  # APPNOTE.TXT 4.3.7, without name and extra field
_ENCRYPTED: Final = 1  # 4.4.4, bit 0
_DRIVE: Final = re.compile(r"[A-Za-z]:")


async def extract(archive: Path, folder: Path, job_id: str, *, sha256: str, overwrite: bool) -> None:
    """Put the entries of an archive that is kept at `folder`, all or none. Raises `Damaged`, `CannotWrite`."""
    with Partial(folder, job_id) as lock:
        try:
            await unpacked(archive, folder, job_id, sha256=sha256, overwrite=overwrite)
        finally:
            lock.remove()


async def unpacked(archive: Path, folder: Path, job_id: str, *, sha256: str, overwrite: bool) -> None:
    """Call `unpack` in a thread, which ends soon where nobody waits for it any more."""
    stop = threading.Event()
    work = asyncio.to_thread(unpack, archive, folder, job_id, sha256=sha256, overwrite=overwrite, stop=stop)
    await settled(work, stop.set)


def unpack(archive: Path, folder: Path, job_id: str, *, sha256: str, overwrite: bool, stop: threading.Event) -> None:
    """Put the entries of the archive into `folder`, by way of a folder beside it that is this job's alone.

    A mark says that it is there, for whoever notes it to take away (`extracted`). Call it with the `Partial` of folder
    and job held: that is the lock. A folder that is there is replaced with `overwrite`, else only where it is empty.
    Raises `Damaged` for an archive that is damaged or not to be trusted, `CannotWrite`; whatever is raised, nothing of
    it is left.
    """
    aside = _aside_of(folder, job_id)
    old = _old_of(aside)
    try:
        forget(folder, job_id)
        _recover(folder, aside)
        _recover_others(folder)
        check_folder_free(folder, overwrite=overwrite)
        with zipfile.ZipFile(archive) as opened:
            entries = checked(opened, archive.stat().st_size)
            check_room(folder.parent, [entry.file_size for entry in entries])
            aside.mkdir()
            for entry in entries:
                _extract(opened, entry, aside, stop)
        if stop.is_set():
            raise InterruptedError
        size = archive.stat().st_size
        Extracted.of(aside, job_id=job_id, size=size, sha256=sha256).leave(folder)
        _move(aside, folder, old, overwrite=overwrite)
    except OSError as error:
        if error.errno is None and not isinstance(error, InterruptedError):
            raise _damaged(str(error)) from error
        raise cannot_write(folder, error) from error
    except DAMAGE as error:
        raise _damaged(str(error)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if left_at(folder, job_id) is None:
            forget(folder, job_id)


def tidy(folder: Path, job_id: str) -> None:
    """Take away what else a command left that was killed when all was there."""
    _recover(folder, _aside_of(folder, job_id))


def checked(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """Return the entries, every one of them fit to be unpacked; raise `Damaged` where one is not.

    `size`: the archive's own, in bytes.
    """
    entries = archive.infolist()
    seen: dict[str, str] = {}
    files: set[str] = set()
    for entry in entries:
        problem = _problem(entry)
        if problem is None:
            problem = _clash(entry, seen, files)
        if problem is not None:
            raise _unsafe(f"its entry {entry.orig_filename[:200]!r} {problem}")
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise _unsafe(f"its entry {entry.orig_filename[:200]!r} lies over another")
        end = entry.header_offset + _LOCAL_HEADER + entry.compress_size
    if end > archive.start_dir:
        raise _unsafe("its last entry lies over its directory")
    total = sum(entry.file_size for entry in entries)
    if total > max(ALWAYS_FINE, MOST_RATIO * size):
        raise _unsafe(f"its {size} bytes unpack to {total}")
    return entries


def check_room(folder: Path, sizes: list[int]) -> None:
    """Raise `CannotWrite` where the disk of `folder` has no room for files of these sizes, or for so many."""
    disk = os.statvfs(folder)
    blocks = sum(-(-size // disk.f_frsize) for size in sizes)
    if disk.f_bavail < blocks:
        raise no_room(folder, blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
    if disk.f_files and disk.f_favail < len(sizes):  # some file systems count no files
        raise cannot_write(folder / "x", OSError(errno.ENOSPC, "no space"))


def _problem(entry: zipfile.ZipInfo) -> str | None:
    """Return what is wrong with an entry by itself."""
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    is_folder = name.endswith("/")
    parts = name.removesuffix("/").split("/")
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if name.startswith("/") or _DRIVE.match(name):
        return "names a place of its own"
    if "\\" in name or any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
        return "has letters that no name should have"
    if any(part in {"", ".", ".."} for part in parts):
        return "leads out of the folder"
    if len(name.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return "has too long a name"
    if len(parts) > _DEEPEST:
        return "lies too deep"
    if kind not in {0, stat.S_IFDIR if is_folder else stat.S_IFREG}:
        return "is no file"
    if is_folder and entry.file_size:
        return "is a folder with content"
    return None


def _clash(entry: zipfile.ZipInfo, seen: dict[str, str], files: set[str]) -> str | None:
    """Return what is wrong with an entry beside those before it; `seen` and `files` are kept up.

    `seen` holds each path and folder as a file system may fold it, and how it was spelled.
    """
    name = entry.orig_filename
    is_folder = name.endswith("/")
    path = name.removesuffix("/")
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        spelled = "/".join(parts[:depth])
        folded = _folded(spelled)
        is_itself = depth == len(parts)
        if seen.setdefault(folded, spelled) != spelled:
            return f"is {seen[folded]!r} on some systems"
        if folded in files or (is_itself and not is_folder and f"{folded}/" in seen):
            return "is there twice"
        if is_itself and not is_folder:
            files.add(folded)
        else:
            seen[f"{folded}/"] = spelled
    return None


def _folded(path: str) -> str:
    """Return a path as file systems that ignore case, Unicode's forms or dots at the end see it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, aside: Path, stop: threading.Event) -> None:
    path = aside / entry.orig_filename
    if entry.orig_filename.endswith("/"):
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, path.open("xb") as target:
        while block := source.read(BLOCK):
            if stop.is_set():
                raise InterruptedError(errno.EINTR, "given up")
            written += len(block)
            if written > entry.file_size:
                raise _unsafe("an entry is larger than it says")
            target.write(block)
    if written != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.orig_filename!r} is shorter than it says")


def _move(aside: Path, folder: Path, old: Path, *, overwrite: bool) -> None:
    check_folder_free(folder, overwrite=overwrite)
    try:
        aside.rename(folder)  # over an empty folder too
    except OSError as error:
        if not overwrite or error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        folder.rename(old)
        try:
            aside.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _aside_of(folder: Path, job_id: str) -> Path:
    return folder.with_name(f".{folder.name}.{job_id[:JOB_LETTERS]}{_ASIDE}")


def _old_of(aside: Path) -> Path:
    """Return where a folder waits while another takes its place."""
    return aside.with_name(aside.name + ".old")


def _recover(folder: Path, aside: Path) -> None:
    """Take away what a killed command left; give back what it was about to replace."""
    old = _old_of(aside)
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        if os.path.lexists(folder):
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _recover_others(folder: Path) -> None:
    """Do so for other jobs' extractions into `folder` that nobody holds a lock for any more."""
    left = folder.parent.glob(f".{glob.escape(folder.name)}.{'?' * JOB_LETTERS}{_ASIDE}*")
    for letters in {path.name[len(folder.name) + 2 :][:JOB_LETTERS] for path in left}:
        with contextlib.suppress(CannotWrite), Partial(folder, letters) as partial:
            forget(folder, letters)
            _recover(folder, _aside_of(folder, letters))
            if not partial.size:
                partial.remove()


def _unsafe(words: str) -> Damaged:
    return Damaged(
        f"the archive is not to be trusted: {words}",
        hint="nothing was extracted; -o FILE keeps the archive as it is",
        code="UNSAFE_ARCHIVE",
    )


def _damaged(words: str) -> Damaged:
    return Damaged(
        f"the archive is damaged: {words}", hint="the export must be made again: exportctl run", code="BAD_ARCHIVE"
    )
