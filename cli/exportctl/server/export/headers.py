"""What the first bytes of an image file say: format, size, depth, pages. Nothing is decoded here.

The content decides, never the extension. A header is read in microseconds, so that planning 100,000 images takes
seconds. Sizes are those of the stored pixels: an EXIF orientation is not applied, since polygons count pixels as
the file has them.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib"})

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset(range(0xD0, 0xDA)) | {0x01}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLE_FORMAT = 256, 257, 258, 339
_TIFF_TAG_LIMIT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One image file as its header describes it; `problem` is '' or says in words what is wrong with the file.

    `format` is png, jpeg, tiff, bmp, or '' when the content is none of them. `deep` means samples that are not 8 bit or
    less. `pages` is 2 for any number above one.
    """

    format: str = ""
    width: int = 0
    height: int = 0
    deep: bool = False
    pages: int = 1
    problem: str = ""


class _HeaderError(Exception):
    """The header breaks off or contradicts itself."""


def read_header(path: str, opener: Callable[[str, int], int] | None = None) -> Header:
    """Read the header of the file; never raises for what is in it, and tells an unreadable file by `problem`.

    `opener` opens it, as of `open`.
    """
    try:
        with open(path, "rb", opener=opener) as file:
            start = file.read(32)
            return _read(file, start)
    except OSError as error:
        return Header(problem=f"cannot be read ({error.strerror or 'input error'})")


def _read(file: BinaryIO, start: bytes) -> Header:
    if not start:
        return Header(problem="is empty (0 bytes)")
    for magic, name, reader in _FORMATS:
        if start.startswith(magic):
            try:
                header = reader(file, start)
            except (_HeaderError, struct.error, OverflowError, ValueError):
                return Header(format=name, problem="is damaged: its header is cut off or wrong")
            if header.width <= 0 or header.height <= 0:
                return Header(format=name, problem="is damaged: its header gives no size")
            return header
    return Header(problem="is not a PNG, JPEG, TIFF or BMP picture")


def _png(_file: BinaryIO, start: bytes) -> Header:
    width, height, depth = struct.unpack_from(">IIB", start, 16)
    if start[12:16] != b"IHDR":
        raise _HeaderError
    return Header(format="png", width=width, height=height, deep=depth > 8)  # noqa: PLR2004 - bits of a byte


def _jpeg(file: BinaryIO, _start: bytes) -> Header:
    file.seek(2)
    while True:
        byte = file.read(1)
        while byte and byte != b"\xff":
            byte = file.read(1)
        while byte == b"\xff":
            byte = file.read(1)
        if not byte or byte == b"\xda":
            raise _HeaderError
        if byte[0] in _JPEG_ALONE or byte[0] == 0:
            continue
        length = struct.unpack(">H", file.read(2))[0]
        if byte[0] in _JPEG_FRAMES:
            depth, height, width = struct.unpack(">BHH", file.read(5))
            return Header(format="jpeg", width=width, height=height, deep=depth > 8)  # noqa: PLR2004 - bits of a byte
        if length < 2:  # noqa: PLR2004 - the length counts its own two bytes
            raise _HeaderError
        file.seek(length - 2, 1)


def _tiff(file: BinaryIO, start: bytes) -> Header:
    order = "<" if start[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", start, 2)[0] == 43  # noqa: PLR2004 - the version number of BigTIFF
    count_code, entry_code, first_at = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    offset_code = "Q" if big else "I"
    file.seek(struct.unpack_from(order + offset_code, start, first_at)[0])
    count = _unpack(file, order + count_code)
    if not 0 < count <= _TIFF_TAG_LIMIT:
        raise _HeaderError
    values = {_TIFF_BITS: 1, _TIFF_SAMPLE_FORMAT: 1}
    seen: set[int] = set()
    entry = struct.Struct(order + entry_code)
    table = file.read(entry.size * count)
    following = _unpack(file, order + offset_code)
    for tag, kind, number, raw in entry.iter_unpack(table[: entry.size * count]):
        code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if tag not in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_SAMPLE_FORMAT):
            continue
        if tag in seen or code is None:
            # Whoever decodes it may go by the other one.
            raise _HeaderError
        seen.add(tag)
        size = struct.calcsize(code)
        if number * size > len(raw):
            file.seek(struct.unpack(order + offset_code, raw)[0])
            values[tag] = _unpack(file, order + code)
        else:
            values[tag] = struct.unpack_from(order + code, raw)[0]
    deep = values[_TIFF_BITS] not in (1, 2, 4, 8) or values[_TIFF_SAMPLE_FORMAT] != 1
    return Header(
        format="tiff",
        width=values.get(_TIFF_WIDTH, 0),
        height=values.get(_TIFF_HEIGHT, 0),
        deep=deep,
        pages=2 if following else 1,
    )


def _bmp(_file: BinaryIO, start: bytes) -> Header:
    size = struct.unpack_from("<I", start, 14)[0]
    if size == 12:  # noqa: PLR2004 - the header of OS/2, with 16-bit sizes
        width, height = struct.unpack_from("<HH", start, 18)
    else:
        width, height = struct.unpack_from("<ii", start, 18)
    return Header(format="bmp", width=width, height=abs(height))


def _unpack(file: BinaryIO, code: str) -> int:
    value: int = struct.unpack(code, file.read(struct.calcsize(code)))[0]
    return value


_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "png", _png),
    (b"\xff\xd8", "jpeg", _jpeg),
    (b"II*\0", "tiff", _tiff),
    (b"MM\0*", "tiff", _tiff),
    (b"II+\0", "tiff", _tiff),
    (b"MM\0+", "tiff", _tiff),
    (b"BM", "bmp", _bmp),
)
