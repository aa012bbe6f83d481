"""The archive: what other tools read, what a streaming reader can trust, and what never changes once written."""

import hashlib
import random
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from exportctl.server.archive import (
    WHOLE,
    AbandonedError,
    ArchiveWriter,
    Limits,
    SourceChangedError,
)
from exportctl.server.export.packing import packed, write_packed

MADE = 1_795_000_001.0
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\\0"), min_size=1, max_size=40)


def make(folder: Path, entries, limits=None):
    """Write `(name, data or path, is to be packed)` entries; returns the archive's path and what `seal` said."""
    path = folder / "made.zip"
    path.unlink(missing_ok=True)
    writer = ArchiveWriter(path, MADE, limits)
    for name, content, deflate in entries:
        if isinstance(content, bytes):
            writer.append(name, *(packed(content) if deflate else (content,)))
        elif deflate:
            append_packed(writer, name, content)
        else:
            writer.append_file(name, content)
    return path, writer.seal()


def append_packed(writer, name, source):
    with source.open("rb") as file:
        aside = source.with_suffix(".packed")
        unpacked = write_packed(str(aside), lambda target: shutil.copyfileobj(file, target, 1 << 20))
    writer.append_file(name, aside, unpacked)
    aside.unlink()


def local_headers(data: bytes):
    """Read an archive from its first byte on, as a streaming reader does, by nothing but local headers."""
    at = 0
    while data[at : at + 4] == b"PK\3\4":
        _, _, flags, method, _, _, crc, length, size, name_length, extra_length = struct.unpack_from(
            "<4s5H3L2H", data, at
        )
        name = data[at + 30 : at + 30 + name_length].decode()
        extra = data[at + 30 + name_length :][:extra_length]
        if 0xFFFFFFFF in {length, size}:
            assert struct.unpack_from("<2H", extra) == (1, 16)
            size, length = struct.unpack_from("<2Q", extra, 4)
        at += 30 + name_length + extra_length
        yield name, flags, method, crc, data[at : at + length], size
        at += length


@given(entries=st.dictionaries(NAMES, st.tuples(st.binary(max_size=3000), st.booleans()), max_size=12))
def test_what_goes_in_comes_out_by_zipfile_and_by_local_headers_alone(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("archive")
    path, sealed = make(folder, [(name, data, deflate) for name, (data, deflate) in entries.items()])
    data = path.read_bytes()

    assert (sealed.size, sealed.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(entries)
        assert {name: archive.read(name) for name in entries} == {name: data for name, (data, _) in entries.items()}
    streamed = list(local_headers(data))
    assert [name for name, *_ in streamed] == list(entries)
    for name, flags, method, crc, body, size in streamed:
        whole = body if method == 0 else zlib.decompress(body, -15)
        assert (whole, len(whole), zlib.crc32(whole)) == (entries[name][0], size, crc)
        assert flags == 1 << 11, "names are UTF-8 and no size comes late"


@pytest.mark.parametrize(
    "limits", [Limits(size=500), Limits(entries=3), Limits(size=500, entries=3), Limits(size=1, entries=1)]
)
def test_past_the_old_limits_it_is_zip64_that_others_read(tmp_path, limits):
    entries = {f"číslo {number}.bin": random.Random(number).randbytes(number * 200) for number in range(6)}
    path, _ = make(tmp_path, [(name, data, False) for name, data in entries.items()], limits)
    assert b"PK\6\6" in path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == entries
    assert {name: body for name, *_, body, _ in local_headers(path.read_bytes())} == entries


def test_a_file_beyond_4_gib_and_what_lies_behind_it_are_read_back(tmp_path):
    large = tmp_path / "large.raw"
    with large.open("wb") as file:
        file.truncate((4 << 30) + 3)
    path, sealed = make(tmp_path, [("large.raw", large, True), ("stored.txt", b"after it", False)])
    large.unlink()
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("large.raw").file_size == (4 << 30) + 3
        assert archive.read("stored.txt") == b"after it"
    assert sealed.size < 1 << 26, "zeros are packed"


@pytest.mark.parametrize(
    "command", [["unzip", "-tq"], ["bsdtar", "-tf"], ["zipinfo", "-1"]], ids=lambda command: command[0]
)
def test_other_tools_open_it(tmp_path, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    path, _ = make(
        tmp_path, [("a b/ř.txt", b"text" * 500, True), ("i.png", bytes(range(256)), False)], Limits(entries=2)
    )
    done = subprocess.run([*command, path], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_archive_without_entries_is_22_bytes_and_valid(tmp_path):
    path, sealed = make(tmp_path, [])
    assert sealed.size == 22
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("size", [0, 1, WHOLE - 1, WHOLE, WHOLE + 1, 3 * WHOLE])
def test_files_of_every_size_are_taken_whole(tmp_path, size, deflate):
    source = tmp_path / "source"
    source.write_bytes(random.Random(size).randbytes(size))
    path, _ = make(tmp_path, [("entry", source, deflate)])
    with zipfile.ZipFile(path) as archive:
        assert archive.read("entry") == source.read_bytes()


def test_bytes_once_written_never_change(tmp_path):
    path = tmp_path / "growing.zip"
    writer = ArchiveWriter(path, MADE)
    seen = b""
    for number in range(20):
        content = bytes([number]) * 5000
        writer.append(f"{number}", *(packed(content) if number % 2 == 0 else (content,)))
        now = path.read_bytes()
        assert now.startswith(seen)
        assert len(now) == writer.size
        seen = now
    writer.seal()
    assert path.read_bytes().startswith(seen)


@pytest.mark.parametrize("change", [b"", b"more"], ids=["shortened", "lengthened"])
def test_a_file_that_changes_between_the_two_passes_is_found_out(tmp_path, monkeypatch, change):
    source = tmp_path / "source"
    source.write_bytes(bytes(WHOLE + 10))
    writer = ArchiveWriter(tmp_path / "a.zip", MADE)
    crc32 = isal_zlib.crc32
    calls = iter(range(100))

    def crc32_while_somebody_writes(*args):
        if next(calls) == 5:  # the first block of the second pass
            source.write_bytes(bytes(WHOLE + 10) + change if change else bytes(WHOLE))
        return crc32(*args)

    monkeypatch.setattr(isal_zlib, "crc32", crc32_while_somebody_writes)
    with pytest.raises(SourceChangedError, match=r"picture\.tif was changed"):
        writer.append_file("picture.tif", source)
    writer.abandon()


def test_a_long_entry_ends_soon_when_the_archive_is_not_wanted_any_more(tmp_path):
    (tmp_path / "long").write_bytes(bytes(WHOLE + 1))
    writer = ArchiveWriter(tmp_path / "a.zip", MADE)
    writer.stop()
    with pytest.raises(AbandonedError):
        writer.append_file("x", tmp_path / "long")
    writer.abandon()


def test_a_hundred_thousand_entries_need_little_memory(tmp_path):
    tracemalloc.start()
    writer = ArchiveWriter(tmp_path / "many.zip", MADE)
    for number in range(100_000):
        writer.append(f"annotations/yolo/image_{number:06}.txt", b"")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    writer.seal()
    assert peak < 24 << 20
    with zipfile.ZipFile(tmp_path / "many.zip") as archive:
        assert len(archive.namelist()) == 100_000


def test_a_large_file_is_copied_in_flat_memory(tmp_path):
    source = tmp_path / "large.raw"
    with source.open("wb") as file:
        file.truncate(200 << 20)
    writer = ArchiveWriter(tmp_path / "a.zip", MADE)
    tracemalloc.start()
    writer.append_file("large.raw", source)
    append_packed(writer, "packed.raw", source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    writer.seal()
    assert peak < 10 << 20
