"""An archive read along while it is made: from servers that offer it, that do not, and that change their minds."""

import asyncio
import hashlib

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, PROJECT, SIZE, WHOLE
from exportctl.client.answering import Client
from exportctl.client.archive import Archive
from exportctl.client.live import ATTEMPTS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import CannotWrite
from waiting import until

FACTS = Archive(project_id=PROJECT, job_id=JOB, size=SIZE, sha256=DIGEST)


@pytest.fixture
async def facts():
    return asyncio.get_running_loop().create_future()


def started(bench, facts, target, **options):
    download = bench.download(size=None, sha256=None, facts=facts, **options)
    return asyncio.create_task(download.to_file(target, overwrite=False))


def partial_of(target):
    return Partial(target, JOB)


async def test_it_is_whole_when_the_stream_ends_and_nothing_is_asked_twice(bench, peer, facts, tmp_path):
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live()]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == SIZE)
    with partial_of(tmp_path / "other.zip"):
        assert not target.exists()
    facts.set_result(FACTS)
    saved = await fetching
    assert (target.read_bytes(), saved.sha256, saved.verified, saved.resumed_from) == (WHOLE, DIGEST, True, None)
    assert [asked.offset for asked in peer.asked] == [0]
    assert bench.logged() == []
    assert list(tmp_path.iterdir()) == [target]


async def test_the_validator_is_noted_before_the_first_byte_and_the_facts_when_they_are_known(
    bench, peer, facts, tmp_path
):
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live(until=CUT, ends=None)]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == CUT)
    partial = partial_of(target)
    assert partial.origin() == Origin(job_id=JOB, etag='"v1"', size=None, sha256=None)
    facts.set_result(FACTS)
    await until(lambda: partial.origin() == Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert partial.path.stat().st_size == CUT


@pytest.mark.parametrize(
    "refuse",
    [
        lambda asked: asked.refuse(404),
        lambda asked: asked.refuse(409),
        lambda asked: asked.refuse(405),
        lambda asked: asked.refuse(501),
        lambda asked: asked.whole(OTHER),
        lambda asked: asked.live(etag='W/"weak"'),
        lambda asked: asked.say(200, {"Transfer-Encoding": "chunked", "Content-Type": "text/html", "ETag": '"v"'}),
        lambda asked: asked.say(204, {}),
    ],
    ids=["404", "409", "405", "501", "finished", "weak", "a page", "nothing"],
)
async def test_where_it_is_not_offered_the_finished_archive_is_fetched_in_silence(bench, peer, facts, tmp_path, refuse):
    target = tmp_path / "it.zip"
    peer.answers = [refuse, lambda asked: asked.honest()]
    fetching = started(bench, facts, target)
    await until(lambda: peer.asked)
    facts.set_result(FACTS)
    await fetching
    assert target.read_bytes() == WHOLE
    assert [asked.offset for asked in peer.asked] == [0, None]
    assert bench.logged() == []


async def test_what_broke_off_is_read_on_at_the_byte_that_is_there(bench, peer, facts, tmp_path):
    peer.answers = [
        lambda asked: asked.live(until=CUT, ends=False),
        lambda asked: asked.live(until=2 * CUT, ends=False),
        lambda asked: asked.live(),
    ]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: len(peer.asked) == 3 and partial_of(tmp_path / "it.zip").path.stat().st_size == SIZE)
    facts.set_result(FACTS)
    await fetching
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert [(asked.offset, asked.headers.get("if-match")) for asked in peer.asked] == [
        (0, None),
        (CUT, '"v1"'),
        (2 * CUT, '"v1"'),
    ]


async def test_what_lacks_when_the_archive_is_whole_is_its_range(bench, peer, facts, tmp_path):
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live(until=CUT, ends=None), lambda asked: asked.honest()]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == CUT)
    facts.set_result(FACTS)
    await until(lambda: partial_of(target).origin().size == SIZE)
    peer.asked[0].writer.close()
    await fetching
    assert target.read_bytes() == WHOLE
    assert [(asked.offset, asked.start, asked.headers.get("if-range")) for asked in peer.asked] == [
        (0, None, None),
        (None, CUT, '"v1"'),
    ]


async def test_an_archive_made_anew_is_begun_anew(bench, peer, facts, tmp_path):
    peer.answers = [
        lambda asked: asked.live(OTHER, until=CUT, ends=False),
        lambda asked: asked.refuse(412),
        lambda asked: asked.live(etag='"v2"'),
    ]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: len(peer.asked) == 3 and partial_of(tmp_path / "it.zip").path.stat().st_size == SIZE)
    facts.set_result(FACTS)
    await fetching
    assert (tmp_path / "it.zip").read_bytes() == WHOLE
    assert [asked.offset for asked in peer.asked] == [0, CUT, 0]
    assert bench.logged() == ["download-interrupted", "download-restarted"]


async def test_a_finished_archive_that_is_another_one_is_fetched_whole(bench, peer, facts, tmp_path):
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live(OTHER, until=CUT, ends=None), lambda asked: asked.honest(etag='"v2"')]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == CUT)
    facts.set_result(FACTS)
    await until(lambda: partial_of(target).origin().size == SIZE)
    peer.asked[0].writer.close()
    await fetching
    assert target.read_bytes() == WHOLE
    assert bench.logged() == ["download-interrupted", "download-restarted"]


async def test_wrong_bytes_of_the_right_name_are_found_out_and_fetched_anew(bench, peer, facts, tmp_path):
    peer.answers = [lambda asked: asked.live(OTHER), lambda asked: asked.honest()]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: peer.asked)
    facts.set_result(FACTS)
    await fetching
    assert (tmp_path / "it.zip").read_bytes() == WHOLE


async def test_a_server_that_keeps_failing_is_left_alone_until_the_archive_is_whole(bench, peer, facts, tmp_path):
    peer.answers = [lambda asked: asked.refuse(503)] * ATTEMPTS + [lambda asked: asked.honest()]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: len(peer.asked) == ATTEMPTS)
    facts.set_result(FACTS)
    await fetching
    assert [asked.offset for asked in peer.asked] == [0] * ATTEMPTS + [None]


async def test_silence_is_asked_anew_and_no_break(bench, peer, facts, tmp_path):
    """An archive may not grow for minutes, and a dead connection looks the same."""
    target = tmp_path / "it.zip"
    bench.http.timeout = 0.1
    peer.answers = [lambda asked: asked.live(until=CUT, ends=None)] * 4 + [lambda asked: asked.live()]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == SIZE)
    facts.set_result(FACTS)
    await fetching
    assert [asked.offset for asked in peer.asked] == [0, CUT, CUT, CUT, CUT]
    assert bench.logged() == []


async def test_it_is_read_along_through_a_web_proxy_too(bench, peer, facts, tmp_path):
    """There httpx's own transport speaks."""
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live(until=CUT, ends=False), lambda asked: asked.live()]
    async with Client(base_url=peer.url, open_trust=lambda: None) as bench.http:
        fetching = started(bench, facts, target)
        await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == SIZE)
        facts.set_result(FACTS)
        await fetching
    assert target.read_bytes() == WHOLE
    assert [asked.offset for asked in peer.asked] == [0, CUT]


async def test_a_partial_of_a_killed_command_is_gone_on_with(bench, peer, facts, tmp_path):
    target = tmp_path / "it.zip"
    with partial_of(target) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=None, sha256=None))
        partial.append(WHOLE[:CUT])
    peer.answers = [lambda asked: asked.live()]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.stat().st_size > CUT)
    facts.set_result(FACTS)
    saved = await fetching
    assert (target.read_bytes(), saved.resumed_from) == (WHOLE, CUT)
    assert [(asked.offset, asked.headers["if-match"]) for asked in peer.asked] == [(CUT, '"v1"')]


async def test_a_finished_download_takes_over_what_was_read_along(bench, peer, tmp_path):
    target = tmp_path / "it.zip"
    with partial_of(target) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=None, sha256=None))
        partial.append(WHOLE[:CUT])
    peer.answers = [lambda asked: asked.honest()]
    saved = await bench.download().to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.resumed_from) == (WHOLE, CUT)
    assert [asked.start for asked in peer.asked] == [CUT]


async def test_a_job_without_an_archive_leaves_nothing(bench, peer, facts, tmp_path):
    target = tmp_path / "it.zip"
    peer.answers = [lambda asked: asked.live(until=CUT, ends=None)]
    fetching = started(bench, facts, target)
    await until(lambda: partial_of(target).path.exists() and partial_of(target).path.stat().st_size == CUT)
    facts.cancel()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert list(tmp_path.iterdir()) == []


async def test_no_room_for_the_rest_is_said_as_soon_as_the_size_is_known(bench, peer, facts, tmp_path):
    peer.answers = [lambda asked: asked.live(until=CUT, ends=None)]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: peer.asked)
    facts.set_result(Archive(project_id=PROJECT, job_id=JOB, size=1 << 60, sha256=DIGEST))
    with pytest.raises(CannotWrite, match="MB free"):
        await fetching


async def test_progress_has_no_share_while_the_size_is_unknown(bench, peer, facts, tmp_path):
    bench.real_time = True
    peer.answers = [lambda asked: asked.live(ends=None)]
    fetching = started(bench, facts, tmp_path / "it.zip")
    await until(lambda: bench.lines)
    facts.set_result(FACTS)
    await fetching
    lines = [line for line in bench.lines if line.event == "export:progress"]
    assert [(line.bytes, line.total_bytes, line.progress) for line in lines] == [
        (SIZE, None, None),
        (SIZE, SIZE, 100.0),
    ]


async def test_it_goes_to_a_pipe_as_it_is_made(bench, peer, facts, tmp_path):
    peer.answers = [lambda asked: asked.live()]
    with (tmp_path / "out").open("wb") as out:
        fetching = asyncio.create_task(bench.download(size=None, sha256=None, facts=facts).to_descriptor(out.fileno()))
        await until(lambda: (tmp_path / "out").stat().st_size == SIZE)
        facts.set_result(FACTS)
        saved = await fetching
    assert saved.verified
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == DIGEST
