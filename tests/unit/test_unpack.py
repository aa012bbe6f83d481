"""`--extract`: the whole content of a right archive, and of a hostile one not a byte, wherever it aims."""

import os
import stat
import struct
import threading
import zipfile

import pytest

from exportctl.client import unpack as unpacking
from exportctl.model.errors import CannotWrite, Damaged
from unit.extraction import beside, extracting, packed, tree

GOOD = {"a.txt": b"text", "images/b.bin": b"\0" * 5000, "images/größe.txt": b"x", "empty/": b"", "deep/er/est": b""}


def of_kind(name, mode, system=3):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = system, mode << 16
    return info


def renamed(content, old, new):
    """Give an entry a name that zipfile would not write; of the same length."""
    assert len(old) == len(new)
    return content.replace(old, new)


@pytest.fixture
def run(tmp_path):
    return extracting(tmp_path)


def test_all_that_is_in_the_archive_is_in_the_folder_and_nothing_beside_it(run):
    run(packed(*GOOD.items()))
    assert {name: data for name, data in tree(run.folder).items() if data is not None} == {
        name: data for name, data in GOOD.items() if not name.endswith("/")
    }
    assert (run.folder / "empty").is_dir()
    assert beside(run) == ["out"]


def test_an_archive_without_entries_makes_an_empty_folder(run):
    run(packed())
    assert tree(run.folder) == {}


def test_an_executable_file_is_unpacked_as_a_plain_one(run):
    run(packed((of_kind("a", stat.S_IFREG | 0o6777), b"#!")))
    assert not (run.folder / "a").stat().st_mode & 0o7111


@pytest.mark.parametrize(
    "entries",
    [
        [("/etc/passwd", b"x")],
        [("../up", b"x")],
        [("a/../../up", b"x")],
        [("a/./b", b"x")],
        [("a//b", b"x")],
        [("..", b"x")],
        [("./a", b"x")],
        [("C:/a", b"x")],
        [("C:a", b"x")],
        [("a\\..\\b", b"x")],
        [("a\nb", b"x")],
        [("a\x1b[31m", b"x")],
        [("x" * 256, b"x")],
        [("x/" * 600 + "x", b"x")],
        [("x/" * 33 + "x", b"x")],
        [("a/", b"x")],
        [("a", b"x"), ("A", b"y")],
        [("gr\u00f6\u00dfe", b"x"), ("gro\u0308\u00dfe", b"y")],
        [("stra\u00dfe", b"x"), ("STRASSE", b"y")],
        [("a/b", b"x"), ("A/c", b"y")],
        [("a", b"x"), ("a/b", b"y")],
        [("a/b", b"x"), ("a", b"y")],
        [("a/", b""), ("a", b"y")],
        [(of_kind("link", stat.S_IFLNK | 0o777), b"/etc/passwd")],
        [(of_kind("link", stat.S_IFLNK | 0o777, system=0), b"/etc/passwd")],
        [(of_kind("pipe", stat.S_IFIFO | 0o666), b"")],
        [(of_kind("device", stat.S_IFCHR | 0o666), b"")],
        [(of_kind("socket", stat.S_IFSOCK | 0o666), b"")],
        [(of_kind("folder", stat.S_IFDIR | 0o777), b"x")],
        [("bomb", b"\0" * 80_000_000)],
        [(f"bomb/{number}", b"\0" * 20_000_000) for number in range(4)],
    ],
    ids=lambda entries: ascii(getattr(entries[-1][0], "filename", entries[-1][0]))[:30],
)
def test_a_hostile_archive_leaves_nothing_anywhere(run, entries):
    content = packed(("good", b"x"), *entries)
    with pytest.raises(Damaged) as caught:
        run(content)
    assert (caught.value.exit_status, caught.value.code) == (8, "UNSAFE_ARCHIVE")
    assert beside(run) == []
    assert sorted(path.name for path in run.folder.parent.parent.iterdir()) == ["n.zip", "place"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(run):
    with pytest.raises(Damaged, match="twice"):
        run(packed(("a", b"x"), ("a", b"y")))
    assert beside(run) == []


def test_a_name_cut_by_a_zero_is_refused(run):
    with pytest.raises(Damaged):
        run(renamed(packed(("good.txt!", b"x")), b"good.txt!", b"good\0txt!"))
    assert beside(run) == []


def test_an_encrypted_entry_is_refused(run):
    content = bytearray(packed(("a", b"x")))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    with pytest.raises(Damaged, match="encrypted"):
        run(bytes(content))
    assert beside(run) == []


def test_an_unknown_way_of_packing_is_refused(run):
    content = bytearray(packed(("a", b"x")))
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + at] = 9  # deflate64
    with pytest.raises(Damaged):
        run(bytes(content))
    assert beside(run) == []


def test_a_name_that_is_another_in_the_directory_is_refused(run):
    """Readers that go by the local header would unpack another file than the one that was checked."""
    content = packed(("good.txt", b"x"))
    at = content.index(b"good.txt")
    with pytest.raises(Damaged):
        run(content[:at] + b"evil.txt" + content[at + 8 :])
    assert beside(run) == []


def test_an_entry_that_reaches_into_the_directory_is_refused(run):
    content = packed(("a", b"x" * 100), method=zipfile.ZIP_STORED)
    at = content.index(b"PK\x01\x02")
    longer = struct.pack("<2L", 130, 130)
    with pytest.raises(Damaged):
        run(content[: at + 20] + longer + content[at + 28 :])
    assert beside(run) == []


def test_entries_that_share_their_bytes_are_refused(run):
    """How 42 kB become terabytes without any nesting: many names for one packed piece."""
    content = packed(("a", b"\0" * 100_000), ("b", b"\0" * 100_000))
    at = content.rindex(b"PK\x01\x02")
    content = content[: at + 42] + struct.pack("<L", 0) + content[at + 46 :]
    with pytest.raises(Damaged, match="lies over another"):
        run(content)
    assert beside(run) == []


@pytest.mark.parametrize("size", [999, 1001, 0])
def test_an_entry_of_another_size_than_it_says_is_refused(run, size):
    content = packed(("a", os.urandom(1000)))
    at = content.index(b"PK\x01\x02")
    with pytest.raises(Damaged):
        run(content[: at + 24] + struct.pack("<L", size) + content[at + 28 :])
    assert beside(run) == []


@pytest.mark.parametrize("content", [b"", b"no archive", packed(*GOOD.items())[:-1]])
def test_what_is_no_archive_is_damaged(run, content):
    with pytest.raises(Damaged) as caught:
        run(content)
    assert caught.value.code == "BAD_ARCHIVE"
    assert beside(run) == []


def test_a_flipped_byte_in_the_last_entry_leaves_not_even_the_first(run):
    content = packed(("a", b"first"), ("b", b"0123456789"), method=zipfile.ZIP_STORED).replace(b"56789", b"5678x")
    with pytest.raises(Damaged):
        run(content)
    assert beside(run) == []


def test_an_empty_folder_is_filled(run):
    run.folder.mkdir()
    run(packed(("a", b"x")))
    assert tree(run.folder) == {"a": b"x"}


def test_a_folder_with_something_in_it_is_left_as_it_is(run):
    run.folder.mkdir()
    (run.folder / "old").write_bytes(b"old")
    with pytest.raises(CannotWrite) as caught:
        run(packed(("a", b"x")))
    assert (caught.value.exit_status, caught.value.code) == (11, "EXISTS")
    assert tree(run.folder) == {"old": b"old"}
    assert beside(run) == ["out"]


def test_it_is_replaced_as_a_whole_where_that_is_asked_for(run):
    run.folder.mkdir()
    (run.folder / "old").write_bytes(b"old")
    run(packed(("a", b"x")), overwrite=True)
    assert tree(run.folder) == {"a": b"x"}
    assert beside(run) == ["out"]


def test_a_hostile_archive_replaces_nothing(run):
    run.folder.mkdir()
    (run.folder / "old").write_bytes(b"old")
    with pytest.raises(Damaged):
        run(packed(("a", b"x"), ("../b", b"x")), overwrite=True)
    assert tree(run.folder) == {"old": b"old"}
    assert beside(run) == ["out"]


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"x"), lambda path: path.symlink_to("elsewhere")])
def test_what_is_no_folder_is_never_replaced(run, make):
    make(run.folder)
    with pytest.raises(CannotWrite) as caught:
        run(packed(("a", b"x")), overwrite=True)
    assert caught.value.code == "NOT_A_FOLDER"


def test_the_folder_one_stands_in_and_those_above_are_never_replaced(run, monkeypatch):
    (run.folder / "inner").mkdir(parents=True)
    for place in (run.folder, run.folder / "inner"):
        monkeypatch.chdir(place)
        with pytest.raises(CannotWrite) as caught:
            run(packed(("a", b"x")), overwrite=True)
        assert caught.value.code == "NOT_OURS"


def test_a_command_that_is_told_to_stop_leaves_nothing(run):
    stop = threading.Event()
    stop.set()
    with pytest.raises(CannotWrite):
        run(packed(("a", b"x")), stop=stop)
    assert beside(run) == []


def test_what_a_killed_command_left_is_taken_away(run):
    aside = run.folder.parent / ".out.6f0c2b7e.extract"
    aside.mkdir()
    (aside / "half").write_bytes(b"ha")
    run(packed(("a", b"x")))
    assert (tree(run.folder), beside(run)) == ({"a": b"x"}, ["out"])


def test_a_folder_that_a_killed_command_had_put_aside_comes_back(run):
    """Killed between the two renames of `--overwrite`: the old folder is all there is."""
    old = run.folder.parent / ".out.6f0c2b7e.extract.old"
    old.mkdir()
    (old / "old").write_bytes(b"old")
    with pytest.raises(CannotWrite, match="exists"):
        run(packed(("a", b"x")))
    assert (tree(run.folder), beside(run)) == ({"old": b"old"}, ["out"])


def test_a_disk_without_room_for_so_many_files_is_found_before_anything_is_written(run, monkeypatch):
    disk = os.statvfs_result((4096, 4096, 1 << 20, 1 << 20, 1 << 20, 10, 10, 1, 0, 255))
    monkeypatch.setattr(unpacking.os, "statvfs", lambda _: disk)
    with pytest.raises(CannotWrite) as caught:
        run(packed(("a", b"x"), ("b", b"x")))
    assert (caught.value.code, beside(run)) == ("DISK_FULL", [])


def test_a_disk_without_room_is_found_before_anything_is_written(run, monkeypatch):
    disk = os.statvfs_result((4096, 4096, 100, 1, 1, 10, 10, 10, 0, 255))
    monkeypatch.setattr(unpacking.os, "statvfs", lambda _: disk)
    with pytest.raises(CannotWrite) as caught:
        run(packed(("a", b"x" * 5000)))
    assert caught.value.code == "DISK_FULL"
    assert beside(run) == []
