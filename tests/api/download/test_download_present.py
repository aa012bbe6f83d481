"""A file that is the archive already is known without a byte fetched; another one is not taken for it."""

import os

import pytest

from download_peer import DIGEST, JOB, OTHER, PROJECT, SIZE, WHOLE
from exportctl.client.archive import Archive, present_archive


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
