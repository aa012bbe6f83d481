"""The pixels of an image as an 8-bit colour picture, or the reason why there are none.

OpenCV decodes a file that was cut off without a word and leaves the rest grey, so a file is first checked for its
end. Deep pictures (16 bit, float, signed) are stretched from their 0.1 to their 99.9 percentile: a microscope's
16-bit image often uses a few hundred of its 65,536 values and would be black.
"""

import lzma
import math
import mmap
import os
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from exportctl.server.export.headers import Header
from exportctl.server.export.opencv import PIXEL_LIMIT, cv2, overheard
from exportctl.server.export.opening import held_within

Picture = NDArray[np.uint8]
Samples = NDArray[np.integer[Any] | np.floating[Any]]

_BLOCK = 1 << 20
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_COMPLAINTS = ("premature end", "corrupt jpeg", "bad huffman", "invalid jpeg")
_TIFF_COMPLAINT = "tiff_error"
_MOST_SCANS = 500
"""Cameras and programs write 20 at most; each costs a pass over all of the picture, and may be of 30 bytes."""
_GREY, _COLOR, _ALPHA = 1, 3, 4
_PLANE = 2
_UNPACKERS: dict[int, Callable[[], Any]] = {
    tifffile.COMPRESSION.ADOBE_DEFLATE: zlib.decompressobj,
    tifffile.COMPRESSION.DEFLATE: zlib.decompressobj,
    tifffile.COMPRESSION.LZMA: lzma.LZMADecompressor,
}
_SEPARATE = tifffile.PLANARCONFIG.SEPARATE
_BYTES_A_PIXEL = 8
"""Four channels of 16 bit: what fits into the memory that the limit of pixels was made for."""


class PixelsError(Exception):
    """There is no picture to draw on; the text says why and reads on from the image's name ("is damaged: ...")."""


def decode_within(folder: str, path: str, header: Header, limit: int = PIXEL_LIMIT) -> Picture:
    """Decode a picture of a project's folder, and nothing that has come in its place; raises PixelsError."""
    try:
        with held_within(folder, path) as held:
            return decode(held, header, limit)
    except OSError as error:
        raise PixelsError(f"cannot be read ({error.strerror or 'input error'})") from error


def decode(path: str, header: Header, limit: int = PIXEL_LIMIT) -> Picture:
    """Decode the (first) picture of the file to BGR, shape (height, width, 3); raises PixelsError.

    `limit`: pixels beyond which it is not tried.
    """
    if header.width * header.height > limit:
        size = f"{header.width} x {header.height} pixels"
        raise PixelsError(f"has {size}, more than can be drawn here (the limit is {limit} pixels)")
    _check(path, header)
    flags = cv2.IMREAD_UNCHANGED if header.deep else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = None
    with overheard() as words:
        # OpenCV takes the planes of deep pictures for rows of one.
        if not (header.format == "tiff" and header.deep and _has_planes(path)):
            try:
                pixels = _load(path, flags)
            except (cv2.error, MemoryError):
                pixels = None
    said = "\n".join(words).lower()
    if header.format in {"jpeg", "tiff"} and any(sign in said for sign in _JPEG_COMPLAINTS):
        raise PixelsError("is damaged: its data are corrupt")
    if header.format == "tiff" and (pixels is None or _TIFF_COMPLAINT in said):
        # OpenCV leaves black what libtiff cannot decode; tifffile either decodes a picture or does not.
        pixels = _by_tifffile(path, limit)
    if pixels is None:
        raise PixelsError("is damaged or of a kind that cannot be decoded")
    if pixels.shape[:2] != (header.height, header.width):
        raise PixelsError("is damaged: its pixels do not have the size that its header gives")
    if pixels.dtype != np.uint8:
        pixels = stretch(pixels)
    return _as_color(pixels)


def _check(path: str, header: Header) -> None:
    """See that the file is whole; raises PixelsError."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - paths are plain texts in tasks
            damage = _CHECKS[header.format](file)
    except OSError as error:
        raise PixelsError(f"cannot be read ({error.strerror or 'input error'})") from error
    except (struct.error, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
        raise PixelsError("is damaged") from error
    if damage:
        raise PixelsError(f"is damaged: {damage}")


def stretch(pixels: Samples) -> Picture:
    """Map the 0.1 to 99.9 percentile of the finite values on 0 to 255, all channels alike."""
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / 1_000_000) ** 0.5))
    seen = pixels[::step, ::step, ..., :_COLOR] if pixels.ndim == _PLANE + 1 else pixels[::step, ::step]
    values = seen.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, [0.1, 99.9]) if values.size else (0.0, 0.0)
    if high <= low and values.size:
        low, high = values.min(), values.max()
    factor = 255.0 / (high - low) if high > low else 0.0
    if pixels.dtype == np.uint16:
        table = np.clip((np.arange(65536) - low) * factor + 0.5, 0, 255).astype(np.uint8)
        return np.asarray(table[pixels], np.uint8)
    picture = np.empty(pixels.shape, np.uint8)
    rows = max(1, _BLOCK // max(1, pixels.shape[1]))
    for top in range(0, pixels.shape[0], rows):
        with np.errstate(invalid="ignore", over="ignore"):
            band = (pixels[top : top + rows].astype(np.float64) - low) * factor + 0.5
        picture[top : top + rows] = np.clip(np.nan_to_num(band, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)
    return picture


def _load(path: str, flags: int) -> Samples | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        # OpenCV takes names in UTF-8 only; a name in another encoding is read through its bytes.
        decoded: Samples | None = cv2.imdecode(np.fromfile(os.fsencode(path), np.uint8), flags)
        return decoded
    loaded: Samples | None = cv2.imread(path, flags)
    return loaded


def _has_planes(path: str) -> bool:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return getattr(page, "samplesperpixel", 1) > 1 and getattr(page, "planarconfig", None) == _SEPARATE


def _by_tifffile(path: str, limit: int) -> Samples | None:
    """Decode what OpenCV does not: signed and 32-bit integers, half floats, planes, more than four channels."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            # Width and height say nothing of depth, planes and samples.
            if getattr(page, "nbytes", 0) > limit * _BYTES_A_PIXEL or _swells(page, tiff.filehandle):
                return None
            pixels = np.asarray(page.asarray())
            axes = getattr(page, "axes", "YX")
    except Exception:  # noqa: BLE001 - tifffile raises whatever a broken file provokes; all of it means: no picture
        return None
    if axes.startswith("S") and pixels.ndim == _PLANE + 1:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == _PLANE + 1:
        pixels = np.ascontiguousarray(pixels[..., 2::-1] if pixels.shape[2] >= _COLOR else pixels[..., 0])
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    return pixels if pixels.ndim in {_PLANE, _PLANE + 1} and pixels.dtype.kind in "uif" else None


def _swells(page: Any, file: Any) -> bool:
    """Tell whether a strip or tile unpacks to more than it can have pixels for: tifffile would hold all of it."""
    unpacker = _UNPACKERS.get(page.compression)
    if unpacker is None:
        return False
    room = math.prod(page.chunks) * page.dtype.itemsize
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        if len(unpacker().decompress(file.read(count), room + 1)) > room:
            return True
    return False


def _as_color(pixels: Samples) -> Picture:
    channels = 1 if pixels.ndim == _PLANE else pixels.shape[2]
    if channels == _GREY:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if channels == _ALPHA:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), np.uint8)
    if channels == _COLOR:
        return np.ascontiguousarray(pixels, np.uint8)
    return _as_color(np.ascontiguousarray(pixels[..., 0]))


def _png_damage(file: BinaryIO) -> str:
    """Walk the chunks to IEND and check the sums of those that make the picture (PNG specification, 5.3)."""
    file.seek(8)
    while True:
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - length and type of a chunk
            return "it is cut off"
        length, kind = struct.unpack(">I4s", head)
        total = zlib.crc32(kind)
        left = length
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                return "it is cut off"
            total = zlib.crc32(block, total)
            left -= len(block)
        check = file.read(4)
        if len(check) < 4:  # noqa: PLR2004 - a CRC
            return "it is cut off"
        critical = not kind[0] & 0x20
        if critical and struct.unpack(">I", check)[0] != total:
            return "a checksum is wrong"
        if kind == b"IEND":
            return ""


def _jpeg_damage(file: BinaryIO) -> str:
    """Go from marker to marker, through all scans, to the end of the image (ITU T.81, B.1.1)."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, scans = 2, 0
        while True:
            marker = _JPEG_MARKER.search(data, at)
            if marker is None:
                return "it is cut off"
            code = data[marker.start() + 1]
            at = marker.end()
            if code == 0xD9:  # noqa: PLR2004 - EOI
                return ""
            if code in {0x01, 0xD8}:
                continue
            scans += code == 0xDA  # noqa: PLR2004 - SOS
            if scans > _MOST_SCANS:
                return f"it is drawn in more than {_MOST_SCANS} passes"
            if at + 2 > len(data):
                return "it is cut off"
            at += max(2, struct.unpack(">H", data[at : at + 2])[0])


def _tiff_damage(file: BinaryIO) -> str:
    """See that every strip or tile of the first page lies within the file."""
    size = os.fstat(file.fileno()).st_size
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        offsets = getattr(page, "dataoffsets", ())
        counts = getattr(page, "databytecounts", ())
    if not offsets:
        return "it has no pixels"
    return "it is cut off" if any(o + n > size for o, n in zip(offsets, counts, strict=False)) else ""


def _bmp_damage(file: BinaryIO) -> str:
    start = file.read(54)
    offset, header_size = struct.unpack_from("<I", start, 10)[0], struct.unpack_from("<I", start, 14)[0]
    if header_size < 40:  # noqa: PLR2004 - older headers say nothing of compression
        return ""
    width, height, bits, compression = struct.unpack_from("<ii2xHI", start, 18)
    expected = offset + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    plain = compression in {0, 3}
    return "it is cut off" if plain and os.fstat(file.fileno()).st_size < expected else ""


_CHECKS = {"png": _png_damage, "jpeg": _jpeg_damage, "tiff": _tiff_damage, "bmp": _bmp_damage}
