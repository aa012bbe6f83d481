"""`--extract` against made-up archives, beside other commands, and killed: what is left, and who takes it away."""

import io
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest

from exportctl.client.extracted import forget
from exportctl.client.partial import Partial
from exportctl.client.unpack import unpack
from exportctl.model.errors import CannotWrite, Damaged
from unit.extraction import GO_ON, JOB, SHA256, beside, extracting, packed, tree


def quoting(names):
    """Return an archive where every entry's data begins with the next one's header, in deflate's stored blocks."""
    kernel = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    plain = b"a" * 1_000_000
    body = kernel.compress(plain) + kernel.flush()
    files = []
    for name in reversed(names):
        header = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, zlib.crc32(plain), len(body), len(plain), len(name), 0
        )
        files.insert(0, (name, header + name, len(body), plain))
        quoted = header + name
        body = b"\0" + struct.pack("<2H", len(quoted), len(quoted) ^ 0xFFFF) + quoted + body
        plain = quoted + plain
    content, at, directory = b"".join(files[0][1:2]), 0, b""
    content = files[0][1] + body[5 + len(files[0][1]) :]
    for name, header, packed_size, unpacked in files:
        directory += struct.pack(
            "<4s6H3L5H2L",
            *(b"PK\1\2", 20, 20, 0, 8, 0, 33, zlib.crc32(unpacked), packed_size, len(unpacked)),
            *(len(name), 0, 0, 0, 0, 0, at),
        )
        directory += name
        at += len(header) + 5
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(files), len(files), len(directory), len(content), 0)
    return content + directory + end


@pytest.fixture
def run(tmp_path):
    return extracting(tmp_path)


def test_a_bomb_of_entries_that_quote_each_other_is_refused(run):
    content = quoting([b"%04d" % number for number in range(40)])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.read("0000")) > 1_000_000  # it is one: any reader opens it
    with pytest.raises(Damaged, match="lies over another"):
        run(content)
    assert beside(run) == []


def test_an_entry_without_a_name_is_refused(run):
    with pytest.raises(Damaged):
        run(quoting([b""]))
    assert beside(run) == []


def test_what_another_jobs_killed_command_left_is_taken_away_too(run):
    """A new `run` has a new job; the folder is the same."""
    place = run.folder.parent
    for name in (".out.00000000.extract", ".out.11111111.extract", ".other.00000000.extract"):
        (place / name / "deep").mkdir(parents=True)
    old = place / ".out.11111111.extract.old"
    old.mkdir()
    (old / "old").write_bytes(b"old")
    with pytest.raises(CannotWrite, match="exists"):
        run(packed(("a", b"x")))
    assert (tree(run.folder), beside(run)) == ({"old": b"old"}, [".other.00000000.extract", "out"])


def test_an_extraction_that_goes_on_is_left_alone(run):
    place = run.folder.parent
    (place / ".out.00000000.extract").mkdir()
    with Partial(run.folder, "00000000") as held:
        held.append(b"bytes of an archive")
        run(packed(("a", b"x")))
    assert beside(run) == [".out.00000000.extract", ".out.00000000.part", "out"]
    (run.folder / "a").unlink()
    run(packed(("b", b"x")))
    assert beside(run) == [".out.00000000.part", "out"]  # its bytes may be gone on with


KILLED = """
import io, os, sys, threading
from pathlib import Path
left = int(sys.argv[4])
def counted(call):
    def step(*args, **options):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args, **options)
    return step
import exportctl.client.unpack
for module, name in ((os, "mkdir"), (os, "rename"), (os, "unlink"), (os, "rmdir"), (io, "open")):
    setattr(module, name, counted(getattr(module, name)))
exportctl.client.unpack.unpack(
    Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sha256="", overwrite=True, stop=threading.Event()
)
"""


@pytest.mark.parametrize("is_there", [False, True])
def test_wherever_it_is_killed_the_folder_is_the_old_the_whole_new_or_none(tmp_path, is_there):
    """Killed before each call to the system in turn; the next command, with another job, leaves nothing else."""
    archive, place = tmp_path / "n.zip", tmp_path / "place"
    archive.write_bytes(packed(("a", b"new"), ("b/c", b"new")))
    new, old, seen = {"a": b"new", "b": None, "b/c": b"new"}, {"a": b"old"}, []
    for step in range(100):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        folder = place / "out"
        if is_there:
            folder.mkdir()
            (folder / "a").write_bytes(b"old")
        command = [sys.executable, "-S", "-c", KILLED, archive, folder, JOB, str(step)]
        ended = subprocess.run(command, env={"PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
        seen.append(tree(folder) if folder.exists() else None)
        assert seen[-1] in (new, old if is_there else None, None), f"killed before call {step}"
        unpack(archive, folder, "7" + JOB, sha256=SHA256, overwrite=True, stop=GO_ON)
        forget(folder, "7" + JOB)
        assert tree(folder) == new
        assert [path.name for path in place.iterdir()] == ["out"], f"killed before call {step}"
        if ended.returncode == 0:
            break
        assert ended.returncode == 9
    assert seen[-1] == new
    assert len(seen) > 6
