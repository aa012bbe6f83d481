"""Whether a file is a whole, right ZIP archive: each entry held against its CRC, nothing before or behind.

Runs in a thread; `stop` ends it between two blocks.
"""

import io
import lzma
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Final

from exportctl.model.errors import CannotWrite, Damaged

BLOCK: Final = 1 << 20
_END_OF_CENTRAL_DIRECTORY: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
"""APPNOTE.TXT 4.3.16: the record without its comment."""
DAMAGE: Final[tuple[type[Exception], ...]] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,  # of bz2, and of a disk that does not give the file back
)
"""What zipfile raises for an archive that is none."""


def check_archive(path: Path, stop: threading.Event) -> int:
    """Return the number of entries of the archive at `path`; raise `Damaged` where anything about it is wrong.

    `CannotWrite` where the disk does not give it back.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_edges(path, archive)
            for entry in archive.infolist():
                with archive.open(entry) as content:
                    while content.read(BLOCK):
                        if stop.is_set():
                            return 0
            return len(archive.infolist())
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise CannotWrite(f"{path} cannot be read back: {error.strerror}") from error
        raise Damaged(
            f"the archive is damaged: {error}", hint="the export must be made again: exportctl run", code="BAD_ARCHIVE"
        ) from error


def _check_edges(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise where bytes lie before the first entry or behind the end: zipfile looks past both."""
    tail_size = _END_SIZE + len(archive.comment)
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(size - tail_size)
        tail = file.read(tail_size)
    if not tail.startswith(_END_OF_CENTRAL_DIRECTORY) or tail[_END_SIZE:] != archive.comment:
        raise zipfile.BadZipFile("bytes lie behind its end")
    first = min((entry.header_offset for entry in archive.infolist()), default=0)
    if first != 0:
        raise zipfile.BadZipFile("bytes lie before its first entry")
