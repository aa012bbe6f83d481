"""An archive of ours in the hands of others: readers of files, and readers that see it once, through a pipe."""

import random
import shutil
import subprocess
import sys

import pytest

from exportctl.server.archive import ArchiveWriter, Limits
from exportctl.server.export.packing import packed

ENTRIES = {
    "README.md": b"# Export\n" * 400,
    "images/b\u0148ka \u010d. 1.png": random.Random(1).randbytes(300_000),
    "images/empty.bin": b"",
    "annotations/signatures.json": b"PK\3\4 PK\7\10 PK\1\2 PK\5\6" * 300,
}


@pytest.fixture(params=[Limits(), Limits(size=1000, entries=2)], ids=["plain", "ZIP64"])
def archive(request, tmp_path):
    path = tmp_path / "n.zip"
    writer = ArchiveWriter(path, made=1.7e9, limits=request.param)
    for name, data in ENTRIES.items():
        writer.append(name, *((data,) if name.endswith((".png", ".bin")) else packed(data)))
    writer.seal()
    return path


def reader(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not here")
    return [str(word) for word in command]


@pytest.mark.parametrize("command", [("unzip", "-tqq"), ("7z", "t"), (sys.executable, "-m", "zipfile", "-t")])
def test_a_reader_of_files_finds_nothing_wrong(archive, command):
    told = subprocess.run([*reader(*command), archive], capture_output=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_reader_of_a_pipe_unpacks_every_entry(archive, tmp_path):
    """Sizes and CRC stand before the data: it needs no directory, and guesses no end."""
    to = tmp_path / "to"
    to.mkdir()
    with archive.open("rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as pipe:
        command = reader("bsdtar", "-xf", "-", "-C", to)
        told = subprocess.run(
            command, stdin=pipe.stdout, capture_output=True, check=False, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin"}
        )
    assert told.returncode == 0, told.stderr
    assert {name: (to / name).read_bytes() for name in ENTRIES} == ENTRIES


def test_a_filter_that_knows_only_the_first_entry_gives_it(archive):
    with archive.open("rb") as file:
        told = subprocess.run(reader("funzip"), stdin=file, capture_output=True, check=False)
    assert told.stdout == ENTRIES["README.md"]
