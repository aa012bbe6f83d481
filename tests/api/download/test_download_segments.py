"""An archive over several connections: in order to its place, under one validator, or else over one."""

import re
from collections import Counter

import pytest

from download_peer import DIGEST, JOB, OTHER, SIZE, WHOLE
from exportctl.client import segments
from exportctl.client.answering import Client
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Unreachable

PART = 10_000


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(segments, "SMALLEST", PART)
    monkeypatch.setattr(segments, "_LARGEST", PART)


def part_of(asked):
    first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers["range"]).groups())
    return first, last + 1


def give(asked, content=WHOLE, etag='"v1"', until=None):
    """Answer a HEAD, a part where If-Range holds, else all."""
    if asked.method == "HEAD" or asked.headers.get("if-range") != etag:
        asked.whole(content, etag=etag)
        return
    start, stop = part_of(asked)
    body = content[start:stop]
    said = f"bytes {start}-{stop - 1}/{len(content)}"
    asked.say(206, {"Content-Length": len(body), "ETag": etag, "Content-Range": said}, body[:until])
    if until is not None and until < len(body):
        asked.writer.close()


async def fetched(bench, target, **options):
    return await bench.download(connections=4, **options).to_file(target, overwrite=False)


async def test_parts_come_side_by_side_and_make_the_archive(bench, peer, tmp_path):
    peer.answers = [give]
    saved = await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert (saved.sha256, saved.verified) == (DIGEST, True)
    ranges = sorted(part_of(asked) for asked in peer.asked if asked.method == "GET")
    assert ranges == [(start, min(start + PART, SIZE)) for start in range(0, SIZE, PART)]
    assert {asked.headers["if-range"] for asked in peer.asked if asked.method == "GET"} == {'"v1"'}
    assert bench.progress()[-1] == 100
    assert bench.logged() == []


async def test_a_connection_is_used_again(bench, peer, tmp_path):
    peer.answers = [give]
    await fetched(bench, tmp_path / "it.zip")
    connections = Counter(id(asked.writer) for asked in peer.asked if asked.method == "GET")
    assert len(connections) <= 4
    assert connections.total() == -(-SIZE // PART)


async def test_what_is_there_is_gone_on_with(bench, peer, tmp_path):
    target = tmp_path / "it.zip"
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
        partial.append(WHOLE[:12_345])
    peer.answers = [give]
    saved = await fetched(bench, target)
    assert (target.read_bytes(), saved.resumed_from) == (WHOLE, 12_345)
    assert min(part_of(asked) for asked in peer.asked)[0] == 12_345


async def test_what_is_on_disk_is_always_the_beginning(bench, peer, tmp_path):
    """The first part never comes, all others do: nothing of them is on disk."""
    target = tmp_path / "it.zip"

    def starve(asked):
        give(asked, until=0 if asked.method == "GET" and part_of(asked)[0] == 0 else None)

    peer.answers = [starve]
    with pytest.raises(Unreachable):
        await fetched(bench, target)
    assert Partial(target, JOB).path.stat().st_size == 0


async def test_parts_that_break_off_are_gone_on_with_each_by_itself(bench, peer, tmp_path):
    peer.answers = [lambda asked: give(asked, until=3_000)]
    await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE


async def test_an_archive_that_is_another_one_is_begun_anew_over_one_connection(bench, peer, tmp_path):
    seen = []

    def changing(asked):
        seen.append(asked)
        if len(seen) < 12:
            give(asked, OTHER, '"old"')
        else:
            asked.honest(etag='"v1"')

    peer.answers = [changing]
    await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert "range" not in peer.asked[-1].headers


async def test_a_server_without_ranges_gives_it_over_one_connection_in_silence(bench, peer, tmp_path):
    peer.answers = [lambda asked: asked.whole()]
    notes = []
    await fetched(bench, tmp_path / "it.zip", note=notes.append)
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert bench.logged() == []
    assert len(notes) == 1


async def test_a_server_that_says_that_it_has_no_ranges_is_not_asked_for_them(bench, peer, tmp_path):
    peer.answers = [lambda asked: asked.whole(**{"Accept-Ranges": "none"})]
    await fetched(bench, tmp_path / "it.zip")
    assert [asked.headers.get("range") for asked in peer.asked] == [None, None]


async def test_another_validator_on_a_part_is_not_mixed_in(bench, peer, tmp_path):
    def lying(asked):
        if asked.method == "GET" and "if-range" in asked.headers and part_of(asked)[0] >= 50_000:
            start, stop = part_of(asked)
            said = f"bytes {start}-{stop - 1}/{SIZE}"
            asked.say(206, {"Content-Length": stop - start, "ETag": '"v2"', "Content-Range": said}, OTHER[start:stop])
        else:
            give(asked)

    peer.answers = [lying]
    await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert bench.logged() == ["download-restarted"]


async def test_a_weak_validator_will_do_where_all_is_verified(bench, peer, tmp_path):
    peer.answers = [lambda asked: give(asked, etag='W/"v1"')]
    saved = await fetched(bench, tmp_path / "it.zip", size=None, sha256=None)
    assert saved.verified
    assert (tmp_path / "it.zip").read_bytes() == WHOLE


async def test_they_go_into_a_pipe_in_order(bench, peer, tmp_path):
    peer.answers = [give]
    with (tmp_path / "out").open("wb") as out:
        await bench.download(connections=4).to_descriptor(out.fileno())
    assert (tmp_path / "out").read_bytes() == WHOLE


async def test_a_limited_rate_holds_for_all_of_them_together(bench, peer, tmp_path):
    peer.answers = [give]
    await fetched(bench, tmp_path / "it.zip", limit=SIZE / 20)
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert bench.now >= 15


async def test_they_go_through_a_web_proxy_too(bench, peer, tmp_path):
    """There httpx's own transport speaks."""
    peer.answers = [lambda asked: give(asked, until=3_000)]
    async with Client(base_url=peer.url, open_trust=lambda: None) as bench.http:
        await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE


async def test_a_part_that_trickles_is_asked_anew(bench, peer, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "PATIENCE", 0.1)
    seen = []

    def mute(asked):
        seen.append(asked)
        if len(seen) == 3:
            start, stop = part_of(asked)
            said = f"bytes {start}-{stop - 1}/{SIZE}"
            asked.say(206, {"Content-Length": stop - start, "ETag": '"v1"', "Content-Range": said}, b"P")
        else:
            give(asked)

    peer.answers = [mute]
    await fetched(bench, tmp_path / "it.zip")
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
