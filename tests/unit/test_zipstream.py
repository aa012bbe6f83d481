"""A ZIP followed as its bytes come. Law: it vouches only for what `check_archive` finds whole, however it is cut."""

import io
import itertools
import random
import threading
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exportctl.client.verify import check_archive
from exportctl.client.zipstream import ZipStream
from exportctl.model.errors import Damaged
from exportctl.server.archive import ArchiveWriter, Limits

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


def vouches(content, cuts=()):
    stream = ZipStream()
    edges = [0, *sorted(cuts), len(content)]
    for start, stop in itertools.pairwise(edges):
        stream.feed(memoryview(content)[start:stop])
    return stream.vouches


STORED, DEFLATED = packed(), packed(zipfile.ZIP_DEFLATED)


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
    writer = ArchiveWriter(
        tmp_path / "n.zip", made=1.7e9, scratch=tmp_path, limits=Limits(size=100, entries=2) if size else Limits()
    )
    for name, data in ENTRIES.items():
        writer.append(name, data, deflate=name.endswith(".txt"))
    writer.seal()
    content = (tmp_path / "n.zip").read_bytes()
    assert vouches(content)
    assert vouches(content, range(1, len(content), 7))


def test_entries_beyond_the_old_format_are_vouched_for():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made, made.open("big.bin", "w", force_zip64=True) as entry:
        entry.write(b"x" * 1000)
    assert vouches(content.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_it_cannot_follow_it_does_not_vouch_for(method):
    assert not vouches(packed(method))


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


@given(at=st.integers(0, len(STORED) - 1), bits=st.integers(1, 255), cut=st.integers(1, len(STORED) - 1))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_never_vouches_for_a_damage_that_the_second_pass_would_find(tmp_path, at, bits, cut):
    for whole in (STORED, DEFLATED):
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
