"""Pictures: what headers say, what is decoded, and how damage is told."""

import struct
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.headers import Header, read_header
from exportctl.server.export.opencv import cv2
from exportctl.server.export.pixels import PixelsError, decode, stretch

RANDOM = np.random.default_rng(5)
SMOOTH = np.add.outer(np.arange(48), np.arange(64) * 2)
GREY = SMOOTH.astype(np.uint8)
COLOR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)

KINDS = {
    "grey.png": lambda p: cv2.imwrite(p, GREY),
    "color.png": lambda p: cv2.imwrite(p, COLOR),
    "alpha.png": lambda p: cv2.imwrite(p, np.dstack([COLOR, GREY])),
    "sixteen.png": lambda p: cv2.imwrite(p, SMOOTH.astype(np.uint16)),
    "bilevel.png": lambda p: cv2.imwrite(p, (SMOOTH > 80).astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1]),
    "color.jpg": lambda p: cv2.imwrite(p, COLOR),
    "progressive.jpg": lambda p: cv2.imwrite(p, GREY, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "color.bmp": lambda p: cv2.imwrite(p, COLOR),
    "grey.tif": lambda p: tifffile.imwrite(p, GREY),
    "color.tif": lambda p: tifffile.imwrite(p, COLOR[..., ::-1], photometric="rgb"),
    "planes.tif": lambda p: tifffile.imwrite(
        p, np.moveaxis(COLOR[..., ::-1], -1, 0), photometric="rgb", planarconfig="separate"
    ),
    "deep-planes.tif": lambda p: tifffile.imwrite(
        p, np.moveaxis(COLOR[..., ::-1], -1, 0).astype(np.uint16) * 9, photometric="rgb", planarconfig="separate"
    ),
    "sixteen.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(np.uint16)),
    "bigendian.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(">u2"), byteorder=">"),
    "bigtiff.tif": lambda p: tifffile.imwrite(p, GREY, bigtiff=True),
    "tiles.tif": lambda p: tifffile.imwrite(p, GREY, tile=(16, 16)),
    "zipped.tif": lambda p: tifffile.imwrite(p, GREY, compression="zlib"),
    "float.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(np.float32) / 7),
    "half.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(np.float16)),
    "signed.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(np.int16) - 100),
    "long.tif": lambda p: tifffile.imwrite(p, SMOOTH.astype(np.uint32) * 70_000),
    "bilevel.tif": lambda p: tifffile.imwrite(p, SMOOTH > 80, photometric="minisblack"),
    "channels.tif": lambda p: tifffile.imwrite(
        p, np.dstack([GREY] * 5), photometric="minisblack", planarconfig="contig"
    ),
    "pages.tif": lambda p: tifffile.imwrite(p, np.stack([GREY, 255 - GREY]), photometric="minisblack"),
    "palette.tif": lambda p: tifffile.imwrite(
        p, GREY, photometric="palette", colormap=np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    ),
}


@pytest.fixture(params=KINDS)
def image(request, tmp_path):
    path = tmp_path / request.param
    KINDS[request.param](str(path))
    return path


def test_every_kind_is_measured_and_decoded_to_what_was_written(image):
    header = read_header(str(image))
    picture = decode(str(image), header)
    assert (header.width, header.height, header.problem) == (64, 48, "")
    assert header.pages == (2 if image.stem == "pages" else 1)
    assert picture.shape == (48, 64, 3)
    expected = COLOR if image.stem in {"color", "alpha", "planes", "deep-planes"} else np.dstack([GREY] * 3)
    if image.stem != "bilevel":
        # Stretched contrast keeps the order of values, so correlation tells that the right pixels came.
        assert np.corrcoef(picture.ravel(), expected.ravel())[0, 1] > 0.98
    assert picture.max() > 150


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.6, 0.97])
def test_a_file_cut_off_anywhere_is_told_and_never_drawn(image, share):
    if image.stem == "pages" and share > 0.5:
        pytest.skip("the first page is whole, and it is all that is drawn")
    content = image.read_bytes()
    image.write_bytes(content[: int(len(content) * share)])
    header = read_header(str(image))
    if not header.problem:
        with pytest.raises(PixelsError, match="damaged"):
            decode(str(image), header)


def test_a_flipped_byte_in_a_png_is_told(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), COLOR)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(PixelsError, match="checksum"):
        decode(str(path), read_header(str(path)))


def test_corrupt_jpeg_data_are_told_and_nothing_is_printed(tmp_path, capfd):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), RANDOM.integers(0, 255, (200, 200, 3), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\x00" * 200
    path.write_bytes(content)
    with pytest.raises(PixelsError, match="damaged"):
        decode(str(path), read_header(str(path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_corrupt_tiff_data_are_told_and_never_drawn_in_part(tmp_path, depth, tile, capfd):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SMOOTH.astype(depth), compression="zlib", tile=tile)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[-1] + 2
    content = bytearray(path.read_bytes())
    content[at : at + 8] = b"\xa5" * 8
    path.write_bytes(content)
    with pytest.raises(PixelsError, match="damaged"):
        decode(str(path), read_header(str(path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_tiff_that_unpacks_to_more_than_its_pixels_is_told_and_not_unpacked(tmp_path, monkeypatch, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4096, 64), np.float16), compression=compression)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for tag in ("ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[tag].overwrite(32)
    unpacked = []
    monkeypatch.setattr(tifffile.TiffPage, "asarray", unpacked.append)
    with pytest.raises(PixelsError, match="damaged"):
        decode(str(path), read_header(str(path)))
    assert not unpacked


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_of_an_unknown_compression_is_told_and_never_black(tmp_path, depth):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SMOOTH.astype(depth), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(50002)
    with pytest.raises(PixelsError, match="cannot be decoded"):
        decode(str(path), read_header(str(path)))


def test_the_content_decides_not_the_extension(tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(cv2.imencode(".png", COLOR)[1].tobytes())
    header = read_header(str(path))
    assert header.format == "png"
    assert np.array_equal(decode(str(path), header), COLOR)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "0 bytes"), (b"hello", "is not a PNG"), (b"\x89PNG\r\n\x1a\n", "damaged"), (b"BM", "damaged")],
)
def test_what_is_no_image_is_told_in_words(tmp_path, content, says):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert says in read_header(str(path)).problem


def test_exif_orientation_is_not_applied_to_pixels_or_size(tmp_path):
    path = tmp_path / "turned.jpg"
    cv2.imwrite(str(path), COLOR)
    content = path.read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    header = read_header(str(path))
    assert (header.width, header.height) == (64, 48)
    assert decode(str(path), header).shape == (48, 64, 3)


def test_a_picture_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(PixelsError, match="more than can be drawn"):
        decode(str(tmp_path / "none.png"), Header(format="png", width=50_000, height=50_000))


def test_opencv_takes_pictures_beyond_its_own_limit():
    """Loaded through our module it lets a header of 2^30 pixels and more pass (and finds the pixels missing)."""
    code = (
        "import numpy, struct, zlib\n"
        "from exportctl.server.export.opencv import cv2\n"
        "def chunk(kind, data):\n"
        "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n"
        "png = b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 40000, 40000, 1, 0, 0, 0, 0))\n"
        "png += chunk(b'IDAT', zlib.compress(bytes(5001 * 400))) + chunk(b'IEND', b'')\n"
        "cv2.imdecode(numpy.frombuffer(png, numpy.uint8), cv2.IMREAD_GRAYSCALE)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_dim_sixteen_bit_picture_becomes_visible():
    dim = np.zeros((100, 100), np.uint16)
    dim[40:60, 40:60] = 235
    picture = stretch(dim)
    assert picture[50, 50] == 255
    assert picture[0, 0] == 0


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 7.0])
def test_a_flat_or_meaningless_float_picture_is_black_and_no_error(value):
    assert stretch(np.full((4, 4), value, np.float32)).max() in {0, 255}


@given(
    content=st.binary(max_size=300),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0+", b"BM"]),
)
def test_no_bytes_make_the_header_reader_raise(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(start + content)
    header = read_header(str(path))
    assert header.problem or header.width > 0
    if not header.problem:
        with suppress(PixelsError):
            decode(str(path), header)
