"""The archive from a server that breaks, tears and lies to its place: there, whole and right, or not there.

The server is a real one (`download_peer`).
"""

import asyncio
import hashlib
import io
import os
import select
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, PROJECT, SIZE, WHOLE, Asked
from exportctl.client.archive import Archive, check_space, present_archive
from exportctl.client.download import ATTEMPTS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import CannotWrite, Damaged, NotAllowed, NotFound, Unreachable
from waiting import until


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


async def test_a_whole_archive_is_put_in_its_place_and_nothing_else(bench, peer, target):
    peer.answers = [Asked.honest]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert names(target) == ["n.zip"]
    assert (saved.path, saved.bytes, saved.sha256, saved.verified, saved.resumed_from) == (
        target,
        len(WHOLE),
        DIGEST,
        True,
        None,
    )
    assert (bench.lines[-1].progress, bench.lines[-1].bytes) == (100.0, len(WHOLE))
    assert "range" not in peer.asked[0].headers
    assert peer.asked[0].headers["accept-encoding"] == "identity"


async def test_a_broken_connection_goes_on_at_the_last_byte_under_the_same_validator(bench, peer, target):
    peer.answers = [
        lambda asked: asked.whole(until=CUT),
        lambda asked: asked.honest(until=CUT),
        Asked.honest,
    ]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert saved.verified
    assert [asked.start for asked in peer.asked] == [None, CUT, 2 * CUT]
    assert [asked.headers.get("if-range") for asked in peer.asked] == [None, '"v1"', '"v1"']
    assert bench.logged() == ["download-interrupted", "download-interrupted"]
    assert bench.progress() == sorted(bench.progress())


async def test_any_number_of_breaks_is_survived_as_long_as_bytes_come(bench, peer, target):
    peer.answers = [lambda asked: asked.honest(until=4_000)]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert len(peer.asked) > ATTEMPTS


async def test_a_server_that_brings_nothing_is_given_up_with_the_partial_kept(bench, peer, target):
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.honest(until=0)]
    with pytest.raises(Unreachable) as caught:
        await bench.download().to_file(target, overwrite=False)
    assert caught.value.exit_status == 7
    assert not target.exists()
    assert Partial(target, JOB).path.read_bytes() == WHOLE[:CUT]
    assert len(peer.asked) == 1 + ATTEMPTS
    assert bench.slept == sorted(bench.slept)
    assert max(bench.slept) <= 10


async def test_the_next_command_goes_on_with_what_an_earlier_one_fetched(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=len(WHOLE), sha256=DIGEST))
        partial.append(WHOLE[:CUT])
    peer.answers = [Asked.honest]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert (saved.resumed_from, saved.verified) == (CUT, True)
    assert [asked.start for asked in peer.asked] == [CUT]
    assert bench.logged() == ["download-resumed"]


async def test_a_partial_that_is_whole_needs_no_byte(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=len(WHOLE), sha256=DIGEST))
        partial.append(WHOLE)
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert peer.asked == []


@pytest.mark.parametrize(
    "origin",
    [
        Origin(job_id="another", etag='"v1"', size=len(WHOLE), sha256=DIGEST),
        Origin(job_id=JOB, etag='"v1"', size=len(WHOLE), sha256="0" * 64),
        Origin(job_id=JOB, etag=None, size=len(WHOLE), sha256=DIGEST),
        None,
    ],
    ids=["job", "digest", "no validator", "no sidecar"],
)
async def test_bytes_of_another_making_are_never_gone_on_with(bench, peer, target, origin):
    with Partial(target, JOB) as partial:
        if origin is not None:
            partial.begin(origin)
        partial.append(OTHER[:CUT])
    peer.answers = [Asked.honest]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert saved.resumed_from is None
    assert [asked.start for asked in peer.asked] == [None]


async def test_a_partial_longer_than_the_archive_is_fetched_anew(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=len(WHOLE), sha256=DIGEST))
        partial.append(WHOLE + b"more")
    peer.answers = [Asked.honest]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE


async def test_wrong_bytes_on_disk_are_found_and_fetched_anew_once(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=len(WHOLE), sha256=DIGEST))
        partial.append(b"\0" * CUT)
    peer.answers = [Asked.honest]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert (saved.verified, saved.resumed_from) == (True, None)
    assert bench.logged() == ["download-resumed", "download-restarted"]
    assert bench.progress() == sorted(bench.progress())


async def test_what_was_fetched_anew_is_checked_as_well(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
        partial.append(b"\0" * CUT)
    peer.answers = [Asked.honest, lambda asked: asked.whole(OTHER)]
    with pytest.raises(Damaged):
        await bench.download().to_file(target, overwrite=False)
    assert names(target) == []


async def test_the_first_line_says_what_is_there_already_of_how_much(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
        partial.append(WHOLE[:CUT])
    peer.answers = [Asked.honest]
    await bench.download().to_file(target, overwrite=False)
    first = next(line for line in bench.lines if line.event == "export:progress")
    assert (first.bytes, first.total_bytes) == (CUT, SIZE)


async def test_a_size_that_only_the_answer_tells_is_told_on(bench, peer, target):
    peer.answers = [Asked.honest]
    await bench.download(size=None).to_file(target, overwrite=False)
    told = [line.total_bytes for line in bench.lines if line.event == "export:progress"]
    assert told[:2] == [None, SIZE]
    assert target.read_bytes() == WHOLE


async def test_answers_that_end_well_and_bring_nothing_are_given_up(bench, peer, target):
    def empty(asked):
        said = {"Transfer-Encoding": "chunked", "ETag": '"v1"', "Content-Range": f"bytes {CUT}-{SIZE - 1}/{SIZE}"}
        asked.say(206, said, b"0\r\n\r\n")

    peer.answers = [lambda asked: asked.whole(until=CUT), empty]
    with pytest.raises(Unreachable, match="breaking off"):
        await bench.download().to_file(target, overwrite=False)
    assert len(peer.asked) <= 1 + ATTEMPTS


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: asked.whole(),
        lambda asked: asked.part(WHOLE, 0),
        lambda asked: asked.part(WHOLE, asked.start + 1),
        lambda asked: asked.part(WHOLE, asked.start, content_range=f"bytes {asked.start}-9/{len(WHOLE) + 1}"),
        lambda asked: asked.part(WHOLE, asked.start, content_range="items 1-2/3"),
        lambda asked: asked.part(OTHER, asked.start, etag='"v2"'),
        lambda asked: asked.refuse(416),
    ],
    ids=["200", "from 0", "a byte on", "other size", "no range", "other validator", "416"],
)
async def test_what_is_not_the_rest_that_was_asked_for_begins_anew_and_says_so(bench, peer, target, answer):
    peer.answers = [lambda asked: asked.whole(until=CUT), answer, Asked.honest]
    saved = await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert saved.verified
    assert bench.logged() == ["download-interrupted", "download-restarted"]
    assert bench.progress() == sorted(bench.progress())


async def test_an_archive_made_anew_meanwhile_is_fetched_whole_and_never_mixed(bench, peer, target):
    """Its size and validator are other ones; nothing was announced that it could be held against."""
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.honest(OTHER, etag='"v2"')]
    await bench.download(sha256=None).to_file(target, overwrite=False)
    assert target.read_bytes() == OTHER


async def test_a_part_where_all_was_asked_for_is_not_taken_for_the_beginning(bench, peer, target):
    peer.answers = [lambda asked: asked.part(WHOLE, CUT), Asked.honest]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE


async def test_a_server_that_always_begins_anew_is_given_up(bench, peer, target):
    peer.answers = [lambda asked: asked.refuse(416)]
    with pytest.raises(Unreachable):
        await bench.download().to_file(target, overwrite=False)
    assert len(peer.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "size", "code"),
    [
        (lambda asked: asked.whole(OTHER), len(WHOLE), "OTHER_DIGEST"),
        (lambda asked: asked.whole(WHOLE + b"x"), len(WHOLE), "OTHER_SIZE"),
        (lambda asked: asked.whole(WHOLE[:-1]), len(WHOLE), "OTHER_SIZE"),
        (
            lambda asked: asked.say(
                200, {"Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(WHOLE) + 1, WHOLE + b"x")
            ),
            len(WHOLE),
            "TOO_LONG",
        ),
        (lambda asked: asked.whole(WHOLE[:-1]), None, "OTHER_DIGEST"),
    ],
    ids=["digest", "longer", "shorter", "longer than it said", "digest without a size"],
)
async def test_a_wrong_archive_leaves_nothing_at_the_target_nor_beside_it(bench, target, answer, size, code):
    bench.peer.answers = [answer]
    with pytest.raises(Damaged) as caught:
        await bench.download(size=size).to_file(target, overwrite=False)
    assert (caught.value.code, caught.value.exit_status) == (code, 8)
    assert names(target) == []


async def test_a_damaged_archive_with_the_right_digest_is_damaged(bench, peer, target):
    broken = WHOLE.replace(WHOLE[500:600], bytes(100), 1)
    assert broken != WHOLE
    peer.answers = [lambda asked: asked.whole(broken)]
    with pytest.raises(Damaged) as caught:
        await bench.download(sha256=hashlib.sha256(broken).hexdigest()).to_file(target, overwrite=False)
    assert caught.value.code == "BAD_ARCHIVE"
    assert names(target) == []


async def test_without_verification_the_bytes_are_taken_as_they_are_and_not_called_verified(bench, peer, target):
    peer.answers = [lambda asked: asked.whole(OTHER)]
    saved = await bench.download(size=len(OTHER), verify=False).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.verified) == (OTHER, False)


async def test_an_old_file_is_kept_whatever_goes_wrong_with_the_new_one(bench, peer, target):
    target.write_bytes(b"old")
    peer.answers = [lambda asked: asked.whole(OTHER)]
    with pytest.raises(Damaged):
        await bench.download().to_file(target, overwrite=True)
    assert target.read_bytes() == b"old"
    peer.answers = [Asked.honest]
    await bench.download().to_file(target, overwrite=True)
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize(("status", "kind"), [(401, NotAllowed), (403, NotAllowed), (404, NotFound)])
async def test_a_refusal_ends_it_at_once_and_keeps_what_was_fetched(bench, peer, target, status, kind):
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.refuse(status)]
    with pytest.raises(kind):
        await bench.download().to_file(target, overwrite=False)
    assert len(peer.asked) == 2
    assert Partial(target, JOB).path.stat().st_size == CUT


async def test_a_server_that_fails_for_a_while_is_waited_for(bench, peer, target):
    peer.answers = [lambda asked: asked.refuse(503), lambda asked: asked.refuse(502, b"<html>"), Asked.honest]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert len(bench.slept) == 2


async def test_a_job_that_cannot_be_gone_on_with_leaves_no_partial(bench, peer, target):
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.refuse(404)]
    with pytest.raises(NotFound):
        await bench.download(keeps_partial=False).to_file(target, overwrite=False)
    assert names(target) == []


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_download_given_up_halfway_keeps_or_removes_its_partial(bench, peer, target, keeps):
    def stall(asked):
        asked.say(200, {"Content-Length": len(WHOLE), "ETag": '"v1"'}, WHOLE[:CUT])

    peer.answers = [stall]
    task = asyncio.create_task(bench.download(keeps_partial=keeps).to_file(target, overwrite=False))
    await until(lambda: Partial(target, JOB).path.exists() and Partial(target, JOB).path.stat().st_size == CUT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(target) == ([".n.zip.6f0c2b7e.part", ".n.zip.6f0c2b7e.part.json"] if keeps else [])


async def test_a_server_without_validators_is_fetched_from_the_beginning_each_time(bench, peer, target):
    def bare(asked, until=None):
        asked.say(200, {"Content-Length": len(WHOLE)}, WHOLE[:until])
        if until is not None:
            asked.writer.close()

    peer.answers = [lambda asked: bare(asked, CUT), bare]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert all("range" not in asked.headers for asked in peer.asked)
    assert bench.logged() == ["download-interrupted", "download-restarted"]


async def test_a_limit_holds_the_rate(bench, peer, target):
    peer.answers = [Asked.honest]
    await bench.download(limit=len(WHOLE) / 10).to_file(target, overwrite=False)
    assert bench.now == pytest.approx(10, abs=1.01)  # one short burst is allowed


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


class OneWay(io.RawIOBase):
    """A file that cannot be gone back in: zipfile puts sizes and CRCs behind the data."""

    def __init__(self, to):
        super().__init__()
        self._to = to

    def writable(self):
        return True

    def write(self, data):
        return self._to.write(data)


def is_full(descriptor):
    return not select.select([], [descriptor], [], 0)[1]


class TestStandardOutput:
    @staticmethod
    def read_all(descriptor, into):
        with os.fdopen(descriptor, "rb") as file:
            into.append(file.read())

    async def to_pipe(self, download):
        reading, writing = os.pipe()
        got = []
        thread = threading.Thread(target=self.read_all, args=(reading, got))
        thread.start()
        try:
            return await download.to_descriptor(writing), got
        finally:
            os.close(writing)
            await asyncio.to_thread(thread.join)

    async def test_the_bytes_go_out_whole_and_the_last_line_says_so(self, bench, peer):
        peer.answers = [Asked.honest]
        saved, got = await self.to_pipe(bench.download())
        assert got == [WHOLE]
        assert (saved.path, saved.bytes, saved.sha256, saved.verified) == (None, len(WHOLE), DIGEST, True)
        assert (bench.lines[-1].progress, bench.lines[-1].bytes) == (100.0, len(WHOLE))

    async def test_a_file_behind_the_descriptor_is_written_too(self, bench, peer, target):
        peer.answers = [Asked.honest]
        with target.open("wb") as file:
            await bench.download().to_descriptor(file.fileno())
        assert target.read_bytes() == WHOLE

    async def test_a_device_behind_the_descriptor_is_written_too(self, bench, peer):
        peer.answers = [Asked.honest]
        descriptor = os.open(os.devnull, os.O_WRONLY)
        saved = await bench.download().to_descriptor(descriptor)
        os.close(descriptor)
        assert saved.bytes == SIZE

    async def test_a_broken_connection_goes_on_where_it_broke(self, bench, peer):
        peer.answers = [lambda asked: asked.whole(until=CUT), Asked.honest]
        _, got = await self.to_pipe(bench.download())
        assert got == [WHOLE]
        assert [asked.start for asked in peer.asked] == [None, CUT]

    async def test_what_cannot_be_taken_back_is_damaged_not_mixed(self, bench, peer):
        peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.honest(OTHER, etag='"v2"')]
        with pytest.raises(Damaged) as caught:
            await self.to_pipe(bench.download(sha256=None))
        assert (caught.value.code, caught.value.exit_status) == ("BEGUN_ANEW", 8)

    async def test_wrong_bytes_are_said_to_be_wrong(self, bench, peer):
        peer.answers = [lambda asked: asked.whole(OTHER)]
        with pytest.raises(Damaged) as caught:
            await self.to_pipe(bench.download())
        assert caught.value.code == "OTHER_DIGEST"

    async def test_without_the_servers_digest_the_archives_own_crcs_vouch_for_the_bytes(self, bench, peer):
        peer.answers = [Asked.honest]
        saved, _ = await self.to_pipe(bench.download(sha256=None))
        assert saved.verified

    async def test_crcs_behind_their_entries_vouch_too(self, bench, peer):
        """As in the archives of protocol 1, which has no digest."""
        unsized = io.BytesIO()
        with zipfile.ZipFile(OneWay(unsized), "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("a", b"its size stands behind it")
        peer.answers = [lambda asked: asked.whole(unsized.getvalue())]
        saved, _ = await self.to_pipe(bench.download(sha256=None, size=None))
        assert saved.verified

    @pytest.mark.parametrize("content", [WHOLE[:-1], WHOLE[:CUT], WHOLE + b"x", b"nonsense", b""])
    async def test_what_is_no_right_archive_is_said_to_be_wrong_without_any_digest(self, bench, peer, content):
        peer.answers = [lambda asked: asked.whole(content)]
        with pytest.raises(Damaged) as caught:
            await self.to_pipe(bench.download(sha256=None, size=None))
        assert (caught.value.code, caught.value.exit_status) == ("BAD_ARCHIVE", 8)

    async def test_where_neither_a_digest_nor_crcs_can_vouch_the_bytes_are_not_called_verified(self, bench, peer):
        strange = io.BytesIO()
        with zipfile.ZipFile(strange, "w", zipfile.ZIP_BZIP2) as made:
            made.writestr("a", b"packed in a way that needs all of it")
        peer.answers = [lambda asked: asked.whole(strange.getvalue())]
        saved, _ = await self.to_pipe(bench.download(sha256=None, size=None))
        assert not saved.verified
        assert bench.logged() == ["unverified"]

    async def test_a_refusal_writes_nothing(self, bench, peer):
        for status in (404, 416):
            peer.answers = [lambda asked, status=status: asked.refuse(status)]
            reading, writing = os.pipe()
            with pytest.raises((NotFound, Unreachable)):
                await bench.download().to_descriptor(writing)
            os.close(writing)
            with os.fdopen(reading, "rb") as file:
                assert file.read() == b""

    async def test_a_closed_pipe_ends_it_as_such(self, bench, peer):
        peer.answers = [Asked.honest]
        reading, writing = os.pipe()
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            await bench.download().to_descriptor(writing)
        os.close(writing)

    async def test_a_full_disk_behind_it_is_said_in_words(self, bench, peer):
        peer.answers = [Asked.honest]
        descriptor = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(CannotWrite, match="No space left"):
            await bench.download().to_descriptor(descriptor)
        os.close(descriptor)

    async def test_a_reader_that_stalls_holds_up_nothing_else(self, bench, peer):
        """Signals and time-outs are the loop's: it must go on while nobody reads the pipe."""
        peer.answers = [Asked.honest]
        reading, writing = os.pipe()
        task = asyncio.create_task(bench.download().to_descriptor(writing))
        await until(lambda: is_full(writing))
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(writing)
        os.close(reading)


class TestPresent:
    archive = Archive(project_id=PROJECT, job_id=JOB, size=len(WHOLE), sha256=DIGEST.upper())

    async def test_a_file_that_is_the_archive_already_is_not_fetched(self, target):
        target.write_bytes(WHOLE)
        saved = await present_archive(target, self.archive)
        assert (saved.path, saved.bytes, saved.sha256, saved.verified) == (target, len(WHOLE), DIGEST, True)

    @pytest.mark.parametrize("content", [OTHER, WHOLE[:-1], WHOLE + b"x", b""])
    async def test_another_file_is_not_taken_for_it(self, target, content):
        target.write_bytes(content)
        assert await present_archive(target, self.archive) is None

    @pytest.mark.parametrize("facts", [{"size": None}, {"sha256": None}])
    async def test_without_the_servers_facts_nobody_can_tell(self, target, facts):
        target.write_bytes(WHOLE)
        described = {"project_id": PROJECT, "job_id": JOB, "size": len(WHOLE), "sha256": DIGEST}
        assert await present_archive(target, Archive(**described | facts)) is None

    @pytest.mark.parametrize(
        "case",
        [(WHOLE, 10, True), (WHOLE, -10, False), (WHOLE[:-1], 10, False), (b"x" * SIZE, 10, False)],
        ids=["it is", "older than it", "shorter", "no archive"],
    )
    async def test_without_a_digest_size_time_and_crcs_tell_and_no_byte_is_fetched(self, bench, peer, target, case):
        """Protocol 1: what was written after the server made its archive, is as large and right, is that archive."""
        content, age, is_it = case
        target.write_bytes(content)
        os.utime(target, (1_800_000_000 + age,) * 2)
        said = {"Content-Length": SIZE, "ETag": 'W/"x"', "Last-Modified": "Fri, 15 Jan 2027 08:00:00 GMT"}
        peer.answers = [lambda asked: asked.say(200, said)]
        described = Archive(project_id=PROJECT, job_id=JOB, size=None, sha256=None)
        saved = await present_archive(target, described, bench.download().api)
        assert [asked.method for asked in peer.asked] == ["HEAD"]
        assert (saved is not None and saved.verified and saved.sha256 == DIGEST) == is_it

    async def test_no_file_a_folder_and_a_pipe_are_none(self, target):
        assert await present_archive(target, self.archive) is None
        target.mkdir()
        assert await present_archive(target, self.archive) is None
        os.mkfifo(target / "pipe")
        assert await present_archive(target / "pipe", self.archive) is None


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
