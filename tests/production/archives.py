"""The one archive file that all jobs of a project share, written in place (`WIRE.md`, 9), and how it is sent."""

import io
import os
import random
import re
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_HALVES = 2


def zip_of(job_id: str, images: int, image_bytes: int) -> bytes:
    """Return an archive that is this job's alone."""
    chance = random.Random(job_id)  # the same for the same job
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("README.txt", f"export {job_id}")
        for at in range(images):
            file.writestr(f"images/cell_{at:03}.jpg", chance.randbytes(image_bytes))
    return buffer.getvalue()


@dataclass(kw_only=True)
class Shelf:
    """The archives by project. `versions`: every whole one that ever lay there."""

    folder: Path
    versions: dict[str, list[bytes]] = field(default_factory=dict)

    def path(self, project_id: str) -> Path:
        return self.folder / f"{project_id}.zip"

    def open(self, project_id: str, data: bytes) -> None:
        """Cut what is there to nothing, in place, and write the first half."""
        with self.path(project_id).open("wb") as file:
            file.write(data[: len(data) // _HALVES])

    def close(self, project_id: str, data: bytes) -> None:
        """Write the rest."""
        with self.path(project_id).open("ab") as file:
            file.write(data[len(data) // _HALVES :])
        self.versions.setdefault(project_id, []).append(data)

    def cut(self, project_id: str) -> None:
        """Let the disk lose the archive's end: nobody wrote to it."""
        path = self.path(project_id)
        if path.exists():
            before = path.stat()
            with path.open("r+b") as file:
                file.truncate(before.st_size * 2 // 3)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, project_id: str) -> None:
        self.path(project_id).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a request for an archive is answered. `status` None: never."""

    status: int | None
    start: int = 0
    stop: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def answer_to(asked: dict[str, str], path: Path, job_id: str) -> Answer:
    """Return the answer to a request with these headers, lower case, for the archive as it lies there now."""
    found = path.stat()
    size, modified = found.st_size, formatdate(int(found.st_mtime), usegmt=True)
    etag = f'W/"{size:x}-{int(found.st_mtime * 1000):x}"'
    headers = {
        "ETag": etag,
        "Last-Modified": modified,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="export_{job_id}.zip"',
    }
    whole = Answer(status=200, stop=size, headers=headers | {"Content-Length": str(size)})
    if asked.get("if-match", etag) != "*" and "if-match" in asked:
        return Answer(status=None)  # a weak validator never matches here
    if "if-unmodified-since" in asked and _is_later(modified, asked["if-unmodified-since"]):
        return Answer(status=None)
    if etag in asked.get("if-none-match", ""):
        return Answer(status=304, headers={"ETag": etag})
    wanted = asked.get("range")
    if wanted is None or "," in wanted or asked.get("if-range", etag) not in {etag, modified}:
        return whole
    found_range = _RANGE.fullmatch(wanted)
    if found_range is None or found_range[0] == "bytes=-":
        return Answer(status=None)
    first, last = found_range.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or stop <= start:
        return Answer(status=None)
    part = {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Content-Length": str(stop - start)}
    return Answer(status=206, start=start, stop=stop, headers=headers | part)


def _is_later(one: str, other: str) -> bool:
    try:
        return parsedate_to_datetime(one) > parsedate_to_datetime(other)
    except ValueError:
        return False


async def pieces(path: Path, answer: Answer, size: int) -> AsyncIterator[bytes]:
    """Yield what lies there when it is read, whatever lay there when the answer began."""
    left = answer.stop - answer.start
    with path.open("rb") as file:
        file.seek(answer.start)
        while left and (piece := file.read(min(size, left))):
            left -= len(piece)
            yield piece
