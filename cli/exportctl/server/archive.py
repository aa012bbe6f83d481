"""An append-only ZIP: bytes once written never change, so they can be hashed, and streamed, as they come.

The sections below are those of PKWARE's APPNOTE.TXT 6.3.10. Why not `zipfile`: on a seekable file it writes a local
header without CRC and sizes and goes back to fill them in; on one that is not seekable it sets flag bit 3 and a data
descriptor (4.3.9), which streaming readers cannot trust for stored entries. Here an entry's CRC and sizes are known
before its header is written. The central directory is kept as bytes, about 100 an entry, where `zipfile` keeps an
object of some 600.

Everything blocks; `making.py` gives it a thread of its own.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import IO

from isal import isal_zlib

from exportctl.server.export.outcome import Content

BLOCK = 1 << 20
WHOLE = 4 * BLOCK
"""Files up to this size are read into memory; larger ones block by block, twice where their CRC is not known."""

_STORED, _DEFLATED = 0, 8  # 4.4.5
_UTF8 = 1 << 11  # 4.4.4, bit 11
_PLAIN, _ZIP64 = 20, 45  # 4.4.3.2: version needed to extract
_UNIX = 3 << 8  # 4.4.2.2: the attributes are Unix modes
_REGULAR = 0o100644 << 16  # 4.4.15
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR64 = struct.Struct("<4sLQL")  # 4.3.15
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_MARK16, _MARK32 = 0xFFFF, 0xFFFFFFFF  # "look into the ZIP64 record"


Opener = Callable[[str, int], int]


class SourceChangedError(Exception):
    """A file was changed while it was being put into the archive. `name` is the entry's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed while it was being exported")
        self.name = name


class NotThatArchiveError(Exception):
    """The file is not the archive that was begun."""


class AbandonedError(Exception):
    """The archive is not wanted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A finished archive: bytes, and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where ZIP64 begins. The format's own; tests lower them."""

    size: int = _MARK32
    entries: int = _MARK16


class ArchiveWriter:
    """Write one archive to a new file at `path`; end with `seal` or `abandon`.

    `made` (Unix seconds) is the time of its entries. With `begun` the file is one that an earlier writer left: call
    `take_up` first. `on_growth` hears how many bytes others can read from the file by now.
    """

    def __init__(
        self,
        path: Path,
        made: float,
        limits: Limits | None = None,
        *,
        begun: bool = False,
        on_growth: Callable[[int], None] | None = None,
    ) -> None:
        self._file = path.open("r+b" if begun else "xb")
        self._limits = limits or Limits()
        self._hash = hashlib.sha256()
        self._directory = bytearray()
        self._entries = 0
        self._unwanted = False
        # One place for every image: memory that is new for each costs as much as its digest (`tests/bench/busy.py`).
        self._room = memoryview(bytearray(WHOLE + 1))
        self._on_growth = on_growth
        self.size = 0
        when = datetime.fromtimestamp(made, UTC)
        # 4.4.6: MS-DOS date and time, which begin in 1980 and count two seconds.
        self._time = when.hour << 11 | when.minute << 5 | when.second // 2
        self._date = max(when.year - 1980, 0) << 9 | when.month << 5 | when.day

    @property
    def digest(self) -> str:
        """The SHA-256 of all bytes so far, in hex."""
        return self._hash.copy().hexdigest()

    def take_up(self, size: int, sha256: str) -> None:
        """Go on behind the first `size` bytes, whole entries with this digest; what lies behind them is cut off.

        Raises NotThatArchiveError, with the file as it was, if they are not as they were.
        """
        while self.size < size:
            offset, head = self.size, self._read(_LOCAL.size)
            mark, _, _, method, _, _, crc, packed, whole, name_length, extra_length = _LOCAL.unpack(head)
            if mark != b"PK\3\4":
                raise NotThatArchiveError
            encoded, extra = self._read(name_length), self._read(extra_length)
            if extra:
                whole, packed = struct.unpack_from("<2Q", extra, 4)
            self._note(encoded, method, crc, packed=packed, size=whole, offset=offset)
            end = self.size + packed
            while self.size < end:
                self._read(min(BLOCK, end - self.size))
        if (self.size, self._hash.hexdigest()) != (size, sha256):
            raise NotThatArchiveError
        self._file.seek(self.size)
        self._file.truncate()

    def append(self, name: str, data: bytes | memoryview, unpacked: Content | None = None) -> None:
        """Add an entry from memory: stored, or packed by deflate from what `unpacked` says."""
        if unpacked is None:
            self._begin(name, Content(crc=isal_zlib.crc32(data), size=len(data)))
        else:
            self._begin(name, unpacked, packed=len(data))
        self._write(data)
        self._show()

    def append_file(
        self, name: str, path: Path, unpacked: Content | None = None, *, opener: Opener | None = None
    ) -> None:
        """Add a file, likewise, in bounded memory; raises SourceChangedError, after which the archive is of no use.

        `opener` opens it, as of `open`.
        """
        with open(path, "rb", buffering=0, opener=opener) as source:
            size = os.fstat(source.fileno()).st_size
            if size <= WHOLE:
                length = _fill(source, self._room)
                if length <= WHOLE:
                    self.append(name, self._room[:length], unpacked)
                    return
                source.seek(0)
            if unpacked is None:
                self._append_stored(name, source)
            else:
                self._append_packed(name, source, size, unpacked)

    def seal(self) -> Sealed:
        """Write the central directory, sync the file to disk and close it."""
        start, length = self.size, len(self._directory)
        self._write(bytes(self._directory))
        self._directory.clear()
        if self._entries >= self._limits.entries or start >= self._limits.size or length >= self._limits.size:
            end = self.size
            count = self._entries
            self._write(_END64.pack(b"PK\6\6", 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, length, start))
            self._write(_LOCATOR64.pack(b"PK\6\7", 0, end, 1))
            # 4.4.1.4: what is given in the ZIP64 record is marked here.
            self._write(_END.pack(b"PK\5\6", 0, 0, _MARK16, _MARK16, _MARK32, _MARK32, 0))
        else:
            self._write(_END.pack(b"PK\5\6", 0, 0, self._entries, self._entries, length, start, 0))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Sealed(size=self.size, sha256=self._hash.hexdigest())

    def stop(self) -> None:
        """Let a long entry being written end soon with AbandonedError. From any thread."""
        self._unwanted = True

    def abandon(self) -> None:
        """Close the file as it is; harmless after `seal`."""
        # What is still buffered may not fit on a full disk: it is not wanted any more.
        with contextlib.suppress(OSError):
            self._file.close()

    def _append_packed(self, name: str, source: IO[bytes], size: int, unpacked: Content) -> None:
        self._begin(name, unpacked, packed=size)
        for block in self._blocks(source):
            self._write(block)
            self._show()

    def _append_stored(self, name: str, source: IO[bytes]) -> None:
        crc = size = 0
        for block in self._blocks(source):
            crc, size = isal_zlib.crc32(block, crc), size + len(block)
        source.seek(0)
        self._begin(name, Content(crc=crc, size=size))
        copied_crc = copied = 0
        for block in self._blocks(source):
            copied_crc, copied = isal_zlib.crc32(block, copied_crc), copied + len(block)
            if copied > size:
                break
            self._write(block)
            self._show()
        if (copied_crc, copied) != (crc, size):
            raise SourceChangedError(name)

    def _begin(self, name: str, content: Content, packed: int | None = None) -> None:
        """Write the local header and note the entry for the central directory; `packed` bytes, or stored."""
        encoded = name.encode("utf-8", "replace")
        method, length = (_STORED, content.size) if packed is None else (_DEFLATED, packed)
        offset = self.size
        large = max(length, content.size) >= self._limits.size
        # 4.5.3: the local record has both sizes or none; the central one has what is marked, in this order.
        extra = struct.pack("<2H2Q", 1, 16, content.size, length) if large else b""
        shown_packed, shown_size = (_MARK32, _MARK32) if large else (length, content.size)
        needed = _ZIP64 if large else _PLAIN
        self._write(
            _LOCAL.pack(
                b"PK\3\4",
                needed,
                _UTF8,
                method,
                self._time,
                self._date,
                content.crc,
                shown_packed,
                shown_size,
                len(encoded),
                len(extra),
            )
            + encoded
            + extra
        )
        self._note(encoded, method, content.crc, packed=length, size=content.size, offset=offset)

    def _note(self, encoded: bytes, method: int, crc: int, *, packed: int, size: int, offset: int) -> None:
        """Note an entry for the central directory."""
        large, far = max(packed, size) >= self._limits.size, offset >= self._limits.size
        places = ((size, packed) if large else ()) + ((offset,) if far else ())
        extra = struct.pack(f"<2H{len(places)}Q", 1, 8 * len(places), *places) if places else b""
        self._directory += _CENTRAL.pack(
            b"PK\1\2",
            _UNIX | _ZIP64,
            _ZIP64 if places else _PLAIN,
            _UTF8,
            method,
            self._time,
            self._date,
            crc,
            _MARK32 if large else packed,
            _MARK32 if large else size,
            len(encoded),
            len(extra),
            0,
            0,
            0,
            _REGULAR,
            _MARK32 if far else offset,
        )
        self._directory += encoded
        self._directory += extra
        self._entries += 1

    def _read(self, length: int) -> bytes:
        if self._unwanted:
            raise AbandonedError
        data = self._file.read(length)
        if len(data) != length:
            raise NotThatArchiveError
        self._hash.update(data)
        self.size += length
        return data

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def _show(self) -> None:
        """Let others read what was written."""
        self._file.flush()
        if self._on_growth is not None:
            self._on_growth(self.size)

    def _blocks(self, source: IO[bytes]) -> Iterator[bytes]:
        while block := source.read(BLOCK):
            if self._unwanted:
                raise AbandonedError
            yield block


def _fill(source: FileIO, room: memoryview) -> int:
    """Read until the room is full or the file at its end; returns the number of bytes."""
    length = 0
    while length < len(room) and (read := source.readinto(room[length:])):
        length += read
    return length
