"""Bytes of two makings are never mixed: what cannot be gone on with begins anew, and says so."""

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, WHOLE, Asked
from exportctl.client.fetching import ATTEMPTS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Unreachable


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
