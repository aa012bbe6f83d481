"""Where an archive is to lie: too little room is found before the first byte, and a full disk keeps what fitted."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from download_peer import JOB, PROJECT, SIZE, WHOLE, Asked, names
from exportctl.client.archive import Archive, check_space
from exportctl.model.errors import CannotWrite

DISK_FULL = """
import asyncio, resource, sys
from pathlib import Path
from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.download import Download
from exportctl.client.http import Server, open_client
from exportctl.client.pace import Pace
from exportctl.model.errors import CannotWrite
async def main():
    server = Server(url=sys.argv[1], correlation_id="c")
    async with open_client(server) as http:
        async def sleep(_): pass
        pace = Pace(job_id="j", project_id="p", tell=lambda _: None, monotonic=lambda: 0.0, sleep=sleep)
        archive = Archive(project_id="p", job_id="job-1234", size=int(sys.argv[3]), sha256=None)
        download = Download(
            api=Api(http=http, server=server),
            archive=archive,
            pace=pace,
            tell=lambda _: None,
            sleep=sleep,
            jitter=lambda: 0.0,
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            await download.to_file(Path(sys.argv[2]), overwrite=False)
        except CannotWrite as error:
            print(error.exit_status, error.code, flush=True)
asyncio.run(main())
"""


async def test_a_disk_that_takes_no_more_ends_it_with_what_fits_kept(peer, target):
    peer.answers = [Asked.honest]
    command = [sys.executable, "-c", DISK_FULL, peer.url, str(target), str(SIZE)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert said == b"11 FILE_TOO_LARGE\n"
    assert names(target) == [".n.zip.job-1234.part", ".n.zip.job-1234.part.json"]
    assert (target.parent / ".n.zip.job-1234.part").read_bytes() == WHOLE[:100_000]


@dataclass
class SmallDisk:
    """A disk of its own that can be filled."""

    place: Path

    def grow(self):
        subprocess.run(["mount", "-o", "remount,size=400k", self.place], check=True)


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", place]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield SmallDisk(place)
    subprocess.run(["umount", place], check=True)


async def test_a_full_disk_is_said_in_words_and_the_same_command_goes_on_afterwards(bench, peer, small_disk):
    peer.answers = [Asked.honest]
    target = small_disk.place / "n.zip"
    with pytest.raises(CannotWrite) as caught:
        check_space(target, bench.download().archive)
    assert caught.value.code == "DISK_FULL"
    with pytest.raises(CannotWrite) as caught:
        await bench.download().to_file(target, overwrite=False)
    assert (caught.value.code, target.exists()) == ("DISK_FULL", False)
    small_disk.grow()
    # What is on disk already needs no room again: 160k of 240k are there, and 240k are not free twice.
    check_space(target, bench.download().archive)
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert saved.resumed_from is not None


def test_a_disk_with_too_little_room_is_found_before_the_first_byte(target):
    huge = Archive(project_id=PROJECT, job_id=JOB, size=2**62, sha256=None)
    with pytest.raises(CannotWrite) as caught:
        check_space(target, huge)
    assert (caught.value.code, caught.value.exit_status) == ("DISK_FULL", 11)
    check_space(target, Archive(project_id=PROJECT, job_id=JOB, size=1, sha256=None))
    check_space(target, Archive(project_id=PROJECT, job_id=JOB, size=None, sha256=None))


def test_room_is_asked_of_a_folder_that_is_there(tmp_path):
    with pytest.raises(CannotWrite):
        check_space(tmp_path / "missing" / "n.zip", Archive(project_id="p", job_id="j", size=1, sha256=None))
