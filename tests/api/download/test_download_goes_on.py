"""A server that breaks off, fails for a while or refuses: its archive goes on at the last byte, or ends in words."""

import asyncio

import pytest

from download_peer import CUT, DIGEST, JOB, SIZE, WHOLE, Asked, names
from exportctl.client.fetching import ATTEMPTS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import NotAllowed, NotFound, Unreachable
from waiting import until


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


async def test_a_limit_holds_the_rate(bench, peer, target):
    peer.answers = [Asked.honest]
    await bench.download(limit=len(WHOLE) / 10).to_file(target, overwrite=False)
    assert bench.now == pytest.approx(10, abs=1.01)  # one short burst is allowed
