"""The archive on standard output: whole and right, or said to be wrong, since what is written cannot be taken back."""

import asyncio
import io
import os
import select
import threading
import zipfile

import pytest

from download_peer import CUT, DIGEST, OTHER, SIZE, WHOLE, Asked
from exportctl.model.errors import CannotWrite, Damaged, NotFound, Unreachable
from one_way import OneWay
from waiting import until


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
