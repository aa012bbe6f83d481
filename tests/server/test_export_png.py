"""The PNG files of overlays: read back by libpng and by its own checks, whatever the size, and whole or not there."""

import resource
import struct
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.server.export.opencv import cv2, overheard
from exportctl.server.export.png import is_whole, save_png


def noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def chunks(data):
    """Split a PNG into (type, data); every CRC is checked by zlib."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, found = 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">L4s", data, place)
        body = data[place + 8 : place + 8 + length]
        (crc,) = struct.unpack_from(">L", data, place + 8 + length)
        assert crc == zlib.crc32(kind + body)
        found.append((kind, body))
        place += length + 12
    return found


@contextmanager
def files_up_to(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99))
@example(height=3000, width=700, seed=0)  # more than one band
@example(height=3, width=999_999, seed=0)  # a band is one row
def test_every_pixel_comes_back(tmp_path_factory, height, width, seed):
    picture, path = noise(height, width, seed), str(tmp_path_factory.mktemp("png") / "picture.png")
    save_png(picture, path)
    with overheard() as complaints:
        back = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert complaints == []
    assert np.array_equal(back, picture)


def test_the_file_is_what_strict_readers_expect(tmp_path):
    path = tmp_path / "picture.png"
    save_png(noise(3000, 700, 1), str(path))
    found = chunks(path.read_bytes())
    kinds = [kind for kind, _ in found]
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert set(kinds[1:-1]) == {b"IDAT"}
    assert struct.unpack(">2L5B", found[0][1]) == (700, 3000, 8, 2, 0, 0, 0)
    unpacker = zlib.decompressobj()
    rows = unpacker.decompress(b"".join(body for kind, body in found if kind == b"IDAT"))
    assert unpacker.eof
    assert unpacker.unused_data == b""
    assert len(rows) == 3000 * (1 + 3 * 700)


def test_a_picture_that_does_not_fit_on_the_disk_is_an_error_and_no_file(tmp_path):
    path = tmp_path / "picture.png"
    with files_up_to(100_000), pytest.raises(OSError, match="too large"):
        save_png(noise(400, 400, 1), str(path))
    assert not path.exists()


def test_a_torn_file_is_not_whole(tmp_path):
    path = tmp_path / "picture.png"
    save_png(noise(20, 20, 1), str(path))
    assert is_whole(str(path))
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_whole(str(path))
    assert not is_whole(str(tmp_path / "none.png"))
