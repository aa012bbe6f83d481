"""A ZIP held against its own CRCs as its bytes come, so that no second pass over it is needed.

Bytes in, one answer out: `vouches` is true only for an archive that was followed from its first byte to its last, each
entry's size and CRC right, its central directory the same entries in the same order, nothing between or behind. Where
anything cannot be followed (encryption, other methods) or is wrong it stops looking and does not vouch:
`verify.check_archive` then judges, where there is a file to look at again. Sizes and CRC may stand behind the data, as
servers of protocol 1 write them. The sections are those of PKWARE's APPNOTE.TXT 6.3.10.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Final

_LOCAL: Final = struct.Struct("<4s5H3L2H")  # 4.3.7
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_END64: Final = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_LOCATOR64: Final = struct.Struct("<4sLQL")  # 4.3.15
_END: Final = struct.Struct("<4s4H2LH")  # 4.3.16
_SIGNATURE: Final = 4
_DESCRIPTOR: Final = b"PK\x07\x08"  # 4.3.9.3: a signature that "will be used" where it once was not
_WITH_DESCRIPTOR: Final = 1 << 3  # 4.4.4
_DESCRIPTORS: Final = (struct.Struct("<3L"), struct.Struct("<L2Q"))  # 4.3.9.1, 4.3.9.2
_LONGEST: Final = _SIGNATURE + _DESCRIPTORS[1].size
"""Bytes of a description; behind the last one there always are more, those of the directory."""
_STORED, _DEFLATED = 0, 8  # 4.4.5
_NOT_FOLLOWED: Final = 1 | 1 << 5 | 1 << 6 | 1 << 13  # 4.4.4: encrypted, patches
_NEWEST: Final = 63
"""Version that may be needed to extract, 6.3; its upper byte is unused (4.4.3)."""
_MARK16, _MARK32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA: Final = 1  # 4.5.3
_MOST_AT_ONCE: Final = 1 << 20
"""Bytes of a packed entry unpacked at once: what a bomb takes of memory."""
_PIECE: Final = 1 << 15
"""Bytes of a deflated entry without sizes taken at once: what follows its end is copied."""
_STORED_PIECE: Final = 1 << 18


class _Lost(Exception):
    """It is damaged."""


class _Strange(_Lost):
    """It cannot be followed, and may be right."""


class ZipStream:
    """One archive. Feed it all bytes in order, then ask `vouches`."""

    def __init__(self) -> None:
        self._at = 0
        """Of the next byte in the archive."""
        self._need = _SIGNATURE
        self._held = bytearray()
        self._then: Callable[[bytes], None] = self._signature
        self._is_lost = self._is_strange = False
        self._is_ended = False
        self._entries = self._listed = 0
        # No list of all entries: what the local headers said and what the directory says, each as one number.
        self._said = self._repeated = 0
        self._directory_at = 0
        self._directory_size = 0
        self._end64: tuple[int, ...] | None = None
        self._end64_at = 0
        self._comment = 0
        self._method = 0
        self._packed_left = 0
        self._crc = self._crc_due = 0
        self._size = self._size_due = 0
        # Of an entry whose sizes and CRC come behind it.
        self._is_unsized = False
        self._forms: tuple[struct.Struct, ...] = _DESCRIPTORS
        self._flags = self._began_at = self._packed = 0
        self._name = b""
        self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def vouches(self) -> bool:
        """Whether all that was fed is one whole, right archive."""
        return self._is_ended and not self._is_lost and not self._held and self._comment == 0

    @property
    def denies(self) -> bool:
        """Whether all that was fed is no whole, right archive; neither this nor `vouches` where none can tell."""
        return not self.vouches and not self._is_strange

    def feed(self, data: memoryview) -> None:
        """Take the next bytes."""
        if self._is_lost:
            return
        try:
            while data:
                if self._is_unsized:
                    data = self._unsized(data)
                else:
                    data = self._content(data) if self._packed_left else self._header(data)
        except (_Lost, zlib.error, struct.error) as error:
            self._is_lost, self._is_strange = True, isinstance(error, _Strange)
            self._held.clear()

    def _header(self, data: memoryview) -> memoryview:
        """Collect what the next header needs, then read it."""
        if self._is_ended:
            if len(data) > self._comment:
                raise _Lost
            self._comment -= len(data)
            return data[len(data) :]
        piece = data[: self._need - len(self._held)]
        self._held += piece
        if len(self._held) == self._need:
            self._then(bytes(self._held))
        return data[len(piece) :]

    def _expect(self, need: int, then: Callable[[bytes], None]) -> None:
        """Read on until `need` bytes are held."""
        self._need, self._then = need, then
        if len(self._held) == need:
            then(bytes(self._held))

    def _forget(self) -> None:
        """Begin the next header."""
        self._at += len(self._held)
        self._held.clear()
        self._need, self._then = _SIGNATURE, self._signature

    def _signature(self, head: bytes) -> None:
        if head == b"PK\x03\x04" and self._listed == 0 and self._end64 is None:
            self._expect(_LOCAL.size, self._local)
        elif head == b"PK\x01\x02" and self._end64 is None:
            if self._listed == 0:
                self._directory_at = self._at
            self._expect(_CENTRAL.size, self._central)
        elif head == b"PK\x06\x06" and self._end64 is None:
            self._expect(_END64.size, self._read_end64)
        elif head == b"PK\x06\x07" and self._end64 is not None:
            self._expect(_LOCATOR64.size, self._locator64)
        elif head == b"PK\x05\x06":
            self._expect(_END.size, self._end)
        else:
            raise _Lost

    def _local(self, head: bytes) -> None:
        name, extra = _LOCAL.unpack(head)[9:11]
        self._expect(_LOCAL.size + name + extra, self._local_whole)

    def _local_whole(self, head: bytes) -> None:
        _, _, flags, method, _, _, crc, packed, size, name_size, _ = _LOCAL.unpack_from(head)
        name, extra = head[_LOCAL.size : _LOCAL.size + name_size], head[_LOCAL.size + name_size :]
        if flags & _NOT_FOLLOWED or method not in {_STORED, _DEFLATED}:
            raise _Strange
        self._entries += 1
        self._method, self._crc, self._size = method, 0, 0
        if method == _DEFLATED:
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        if flags & _WITH_DESCRIPTOR:
            self._is_unsized, self._packed = True, 0
            self._flags, self._began_at, self._name = flags, self._at, name
            self._forms = _DESCRIPTORS[1:] if _has_zip64(extra) else _DESCRIPTORS
            self._forget()
            return
        size, packed = _wide(extra, [size, packed])
        if method == _STORED and size != packed:
            raise _Lost
        self._said = _mixed(self._said, flags, method, crc, packed, size, self._at, name)
        self._packed_left, self._crc_due, self._size_due = packed, crc, size
        self._forget()
        if packed == 0:
            self._entry_ended()

    def _content(self, data: memoryview) -> memoryview:
        """Hold an entry's bytes against its CRC."""
        piece = data[: self._packed_left]
        self._packed_left -= len(piece)
        self._at += len(piece)
        if self._method == _STORED:
            self._crc = zlib.crc32(piece, self._crc)
            self._size += len(piece)
        else:
            packed: bytes | memoryview = piece
            while True:
                plain = self._unpack.decompress(packed, _MOST_AT_ONCE)
                self._crc = zlib.crc32(plain, self._crc)
                self._size += len(plain)
                packed = self._unpack.unconsumed_tail
                if self._size > self._size_due or self._unpack.unused_data:
                    raise _Lost
                if not packed and len(plain) < _MOST_AT_ONCE:
                    break
        if self._packed_left == 0:
            self._entry_ended()
        return data[len(piece) :]

    def _unsized(self, data: memoryview) -> memoryview:
        """Follow an entry whose sizes and CRC come behind it: to the end that deflate knows, or to that description."""
        if self._method == _STORED:
            return self._unsized_stored(data)
        if self._unpack.eof:
            return self._described(data)
        piece = data[:_PIECE]
        packed: bytes | memoryview = piece
        while True:
            plain = self._unpack.decompress(packed, _MOST_AT_ONCE)
            self._crc = zlib.crc32(plain, self._crc)
            self._size += len(plain)
            packed = self._unpack.unconsumed_tail
            if not packed and len(plain) < _MOST_AT_ONCE:
                break
        taken = len(piece) - len(self._unpack.unused_data)
        self._packed += taken
        return data[taken:]

    def _described(self, data: memoryview) -> memoryview:
        """Hold an entry that has ended against what stands behind it (4.3.9)."""
        had = len(self._held)
        self._held += data[: _LONGEST - had]
        found = self._description(self._held)
        if found is None:
            if len(self._held) == _LONGEST:
                raise _Lost
            return data[len(self._held) - had :]
        del self._held[found:]
        self._unsized_ended()
        return data[found - had :]

    def _unsized_stored(self, data: memoryview) -> memoryview:
        """Look for the description that fits all before it: sizes and CRC leave nothing to chance."""
        had = len(self._held)
        piece = data[:_STORED_PIECE]
        window = bytes(self._held) + bytes(piece)
        self._held.clear()
        at = 0
        while True:
            found = window.find(_DESCRIPTOR, at)
            upto = max(at, len(window) - _SIGNATURE + 1) if found < 0 else found
            self._crc = zlib.crc32(memoryview(window)[at:upto], self._crc)
            self._size += upto - at
            self._packed, at = self._size, upto
            head = bytearray(window[at : at + _LONGEST])
            if found >= 0 and (length := self._description(head)) is not None:
                self._held += head[:length]
                self._unsized_ended()
                return data[at + length - had :]
            if len(head) < _LONGEST:
                self._held += head
                return data[len(piece) :]
            self._crc = zlib.crc32(head[:1], self._crc)
            self._size += 1
            at += 1

    def _description(self, head: bytearray) -> int | None:
        """Return the length of the description of this entry that `head` begins with, None where there is none yet."""
        if len(head) < _SIGNATURE:
            return None
        start = _SIGNATURE if head.startswith(_DESCRIPTOR) else 0
        due = (self._crc, self._packed, self._size)
        for form in self._forms:
            if len(head) >= start + form.size and form.unpack_from(head, start) == due:
                return start + form.size
        return None

    def _unsized_ended(self) -> None:
        """Note an entry as a local header with all facts would have."""
        self._said = _mixed(
            self._said, self._flags, self._method, self._crc, self._packed, self._size, self._began_at, self._name
        )
        self._at += self._packed
        self._is_unsized = False
        self._forget()

    def _entry_ended(self) -> None:
        is_whole = self._method == _STORED or self._unpack.eof
        if not is_whole or self._size != self._size_due or self._crc != self._crc_due:
            raise _Lost

    def _central(self, head: bytes) -> None:
        name, extra, comment = _CENTRAL.unpack(head)[10:13]
        self._expect(_CENTRAL.size + name + extra + comment, self._central_whole)

    def _central_whole(self, head: bytes) -> None:
        _, _, needed, flags, method, _, _, crc, packed, size, name_size, extra_size, _, disk, _, _, at = (
            _CENTRAL.unpack_from(head)
        )
        if needed & 0xFF > _NEWEST:
            raise _Strange
        name = head[_CENTRAL.size : _CENTRAL.size + name_size]
        extra = head[_CENTRAL.size + name_size :][:extra_size]
        size, packed, at = _wide(extra, [size, packed, at])
        if disk not in {0, _MARK16}:
            raise _Lost
        self._repeated = _mixed(self._repeated, flags, method, crc, packed, size, at, name)
        self._listed += 1
        self._directory_size += len(head)
        self._forget()

    def _read_end64(self, head: bytes) -> None:
        self._end64, self._end64_at = _END64.unpack(head)[1:], self._at
        if self._end64[0] != _END64.size - 12:  # 4.3.14.1: without signature and this number itself
            raise _Lost
        self._forget()

    def _locator64(self, head: bytes) -> None:
        if _LOCATOR64.unpack(head)[2] != self._end64_at:
            raise _Lost
        self._forget()

    def _end(self, head: bytes) -> None:
        _, disk, first_disk, here, entries, size, at, comment = _END.unpack(head)
        if self._end64 is not None:
            _, _, _, disk, first_disk, here, entries, size, at = self._end64
        if self._listed == 0:
            self._directory_at = at if self._entries == 0 and at == 0 else -1
        due = (0, 0, self._listed, self._entries, self._directory_size, self._directory_at, self._said)
        if (disk, first_disk, here, entries, size, at, self._repeated) != due:
            raise _Lost
        self._forget()
        self._comment, self._is_ended = comment, True


def _has_zip64(extra: bytes) -> bool:
    while len(extra) >= _SIGNATURE:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == _ZIP64_EXTRA:
            return True
        extra = extra[4 + size :]
    return False


def _wide(extra: bytes, fields: list[int]) -> list[int]:
    """Return `fields`, those that a ZIP64 extra field holds taken from it (4.5.3)."""
    if _MARK32 not in fields:
        return fields
    while extra:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == _ZIP64_EXTRA:
            numbers = iter(struct.unpack_from(f"<{min(size, 24) // 8}Q", extra, 4))
            return [next(numbers, -1) if field == _MARK32 else field for field in fields]
        extra = extra[4 + size :]
    raise _Lost


def _mixed(so_far: int, *facts: object) -> int:
    """Return a number that stands for `so_far` and these facts."""
    return hash((so_far, *facts))
