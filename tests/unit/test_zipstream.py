"""A ZIP followed as its bytes come. Law: it vouches only for what `check_archive` finds whole, however it is cut."""

import io
import itertools
import random
import threading
import zipfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exportctl.client.verify import check_archive
from exportctl.client.zipstream import ZipStream
from exportctl.model.errors import Damaged
from exportctl.server.archive import ArchiveWriter, Limits
from exportctl.server.export import packing
from one_way import OneWay

ENTRIES = {
    "a.txt": b"text " * 500,
    "b/c.bin": random.Random(1).randbytes(5000),
    "empty": b"",
    "größe.bin": b"\0" * 9000,
}


def packed(method=zipfile.ZIP_STORED, *, comment=b"", entries=None):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, data in (ENTRIES if entries is None else entries).items():
            made.writestr(name, data)
        made.comment = comment
    return content.getvalue()


def packed_one_way(method=zipfile.ZIP_STORED, *, entries=None, zip64=False):
    """Return an archive whose sizes and CRCs stand behind the data, as archives of protocol 1."""
    content = io.BytesIO()
    with zipfile.ZipFile(OneWay(content), "w", method) as made:
        for name, data in (ENTRIES if entries is None else entries).items():
            with made.open(name, "w", force_zip64=zip64) as entry:
                entry.write(data)
    return content.getvalue()


def fed(content, cuts=()):
    stream = ZipStream()
    edges = [0, *sorted(cuts), len(content)]
    for start, stop in itertools.pairwise(edges):
        stream.feed(memoryview(content)[start:stop])
    return stream


def vouches(content, cuts=()):
    return fed(content, cuts).vouches


STORED, DEFLATED = packed(), packed(zipfile.ZIP_DEFLATED)
# An entry that holds what looks like a description, and one that ends in half of one.
TRICKY = {**ENTRIES, "inner.zip": packed_one_way(), "signs": b"PK\x07\x08" * 20 + b"PK\x07", "last": b"PK"}
UNSIZED = [
    packed_one_way(method, entries=TRICKY, zip64=zip64)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for zip64 in (False, True)
]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"made by a test"])
def test_a_whole_archive_is_vouched_for_in_one_piece_and_byte_by_byte(method, comment):
    content = packed(method, comment=comment, entries={**ENTRIES, "empty": b"x"})
    assert vouches(content)
    assert vouches(content, range(1, len(content)))


def test_an_archive_without_entries_is_vouched_for():
    empty = packed(entries={})
    assert len(empty) == 22
    assert vouches(empty)


@pytest.mark.parametrize("size", [0, 1])
def test_what_our_server_makes_is_vouched_for_beyond_the_old_format_too(tmp_path, size):
    writer = ArchiveWriter(tmp_path / "n.zip", made=1.7e9, limits=Limits(size=100, entries=2) if size else Limits())
    for name, data in ENTRIES.items():
        writer.append(name, *(packing.packed(data) if name.endswith(".txt") else (data,)))
    writer.seal()
    content = (tmp_path / "n.zip").read_bytes()
    assert vouches(content)
    assert vouches(content, range(1, len(content), 7))


def test_entries_beyond_the_old_format_are_vouched_for():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made, made.open("big.bin", "w", force_zip64=True) as entry:
        entry.write(b"x" * 1000)
    assert vouches(content.getvalue())


@pytest.mark.parametrize("content", UNSIZED, ids=["stored", "stored, wide", "deflated", "deflated, wide"])
def test_sizes_behind_the_data_are_vouched_for_however_the_bytes_come(content):
    assert vouches(content)
    assert vouches(content, range(1, len(content)))
    for seed in range(20):
        assert vouches(content, random.Random(seed).sample(range(1, len(content)), 40))


def test_a_description_without_its_signature_is_read_too():
    """Old writers leave it out (4.3.9.3)."""
    content = packed_one_way(zipfile.ZIP_DEFLATED, entries={"a": b"text " * 100})
    at = content.index(b"PK\x07\x08")
    end = content.rindex(b"PK\x05\x06")
    moved = (int.from_bytes(content[end + 16 : end + 20], "little") - 4).to_bytes(4, "little")
    assert vouches(content[:at] + content[at + 4 : end + 16] + moved + content[end + 20 :])


@pytest.mark.parametrize("content", UNSIZED, ids=["stored", "stored, wide", "deflated", "deflated, wide"])
def test_no_damage_of_sizes_behind_the_data_is_vouched_for(content):
    chance = random.Random(2)
    for _ in range(300):
        broken = bytearray(content)
        broken[chance.randrange(len(broken))] ^= chance.randrange(1, 256)
        with zipfile.ZipFile(io.BytesIO(content)) as whole:
            if vouches(bytes(broken)):  # a time stamp, say
                with zipfile.ZipFile(io.BytesIO(broken)) as archive:
                    assert {name: archive.read(name) for name in archive.namelist()} == {
                        name: whole.read(name) for name in whole.namelist()
                    }
    assert fed(content[: len(content) // 2]).denies
    assert fed(content[:-1]).denies


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_it_cannot_follow_it_neither_vouches_for_nor_denies(method):
    stream = fed(packed(method))
    assert (stream.vouches, stream.denies) == (False, False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        STORED[:-1],
        STORED + b"x",
        b"x" + STORED,
        STORED + STORED,
        STORED[: len(STORED) // 2],
        b"\0" * 1000,
        packed(entries={}) + STORED,
    ],
    ids=["nothing", "a byte short", "a byte more", "a byte before", "twice", "half", "zeros", "behind an empty one"],
)
def test_a_damaged_archive_is_never_vouched_for(content):
    assert not vouches(content)
    assert fed(content).denies


@given(at=st.integers(0, len(STORED) - 1), bits=st.integers(1, 255), cut=st.integers(1, len(STORED) - 1))
@example(at=STORED.index(b"PK\x01\x02") + 6, bits=64, cut=1)  # the version needed to extract
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_never_vouches_for_a_damage_that_the_second_pass_would_find(tmp_path, at, bits, cut):
    for whole in (STORED, DEFLATED, UNSIZED[0], UNSIZED[2]):
        content = bytearray(whole)
        content[at % len(content)] ^= bits
        if not vouches(bytes(content), [cut % len(content)]):
            continue
        path = tmp_path / "n.zip"
        path.write_bytes(content)
        try:
            check_archive(path, threading.Event())
        except Damaged as damage:
            pytest.fail(f"vouched for, byte {at}: {damage}")


@given(at=st.integers(0, len(ENTRIES["b/c.bin"]) - 1), bits=st.integers(1, 255))
def test_a_flipped_byte_of_a_content_is_always_seen(at, bits):
    content = bytearray(STORED)
    content[STORED.index(ENTRIES["b/c.bin"]) + at] ^= bits
    assert not vouches(bytes(content))


def test_a_bomb_is_left_when_it_is_larger_than_it_says():
    content = bytearray(packed(zipfile.ZIP_DEFLATED, entries={"bomb": b"\0" * 50_000_000}))
    where = content.index((50_000_000).to_bytes(4, "little"))
    content[where : where + 4] = (1000).to_bytes(4, "little")
    assert not vouches(bytes(content))
