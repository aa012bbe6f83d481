"""An archive that is not what was announced is never put in its place, and what is there already stays."""

import hashlib

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, SIZE, WHOLE, Asked, names
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Damaged


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
