"""Every kind of server against every promise: whatever it does, the file is the whole, right archive or is not there.

The table is `download_peer`'s scripts; each says what becomes of the file where the server gives a digest (protocol 2)
and where it gives none (protocol 1).
"""

import io
import zipfile
from dataclasses import dataclass

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, SIZE, WHOLE, Asked, fetched, names
from exportctl.client.partial import Partial
from exportctl.model.errors import Damaged, Unreachable

WEAK = 'W/"size-mtime"'
LONGER = WHOLE + OTHER


def archive_of(**entries):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return content.getvalue()


EMPTY, SMALLER = archive_of(), archive_of(a=b"x" * 1000)


@dataclass
class File:
    """What lies on the server: changed between two answers, in the middle of one, or by a count of bytes."""

    content: bytes
    etag: str | None = '"v1"'
    drops_every: int | None = None

    def answer(self, asked):
        """Answer as a server with Range and If-Range does."""
        start = 0
        if asked.start is not None and asked.headers.get("if-range") in {None, self.etag}:
            start = asked.start
        until = None if self.drops_every is None else self.drops_every
        said = {"Content-Length": len(self.content) - start}
        if self.etag is not None:
            said["ETag"] = self.etag
        if start:
            said["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        body = self.content[start:]
        asked.say(206 if start else 200, said, body[:until])
        if until is not None and until < len(body):
            asked.writer.close()


def whole_then_file(content, *, etag, cut=CUT):
    """The first connection breaks; what lies there then is another."""
    return [lambda asked: asked.whole(until=cut, etag=WEAK), File(content, etag).answer]


@pytest.mark.parametrize("size", [None, 22])
async def test_an_archive_without_entries_is_22_bytes_and_right(bench, peer, target, size):
    peer.answers = [File(EMPTY).answer]
    assert len(EMPTY) == 22
    assert await fetched(bench, target, size=size, sha256=None) == EMPTY


@pytest.mark.parametrize(
    "changed",
    [
        (OTHER, 'W/"later"'),  # changed
        (SMALLER, 'W/"shorter"'),
        (LONGER[: SIZE + 500], 'W/"longer"'),
        (OTHER, WEAK),  # the same size in the same second
        (EMPTY, 'W/"empty"'),
        (OTHER, None),  # and the validator is gone
    ],
    ids=["other", "shorter", "longer", "same validator", "empty", "no validator"],
)
@pytest.mark.parametrize("knows_size", [True, False])
async def test_a_file_changed_between_two_requests_is_the_new_one_whole_or_none(
    bench, peer, target, changed, knows_size
):
    """The first part is the old one's; nothing that was announced can tell them apart (protocol 1)."""
    then, etag = changed
    peer.answers = whole_then_file(then, etag=etag)
    found = await fetched(bench, target, sha256=None, size=SIZE if knows_size else None)
    assert found == (then if not then.startswith(WHOLE) else Damaged)


@pytest.mark.parametrize("then", [OTHER, SMALLER, LONGER], ids=["same size", "shorter", "longer"])
async def test_a_file_changed_between_two_requests_is_never_taken_for_the_announced_one(bench, peer, target, then):
    peer.answers = [lambda asked: asked.whole(until=CUT), File(then, '"v2"').answer]
    assert await fetched(bench, target) is Damaged
    assert names(target) == []


@pytest.mark.parametrize("etag", ['"v1"', WEAK])
async def test_a_validator_that_stayed_over_other_bytes_costs_a_second_download_and_no_more(bench, peer, target, etag):
    """Validators made of size and time lie when both stay; the strong form too."""
    peer.answers = [lambda asked: asked.whole(OTHER, etag=etag, until=CUT), File(WHOLE, etag).answer]
    assert await fetched(bench, target) == WHOLE
    assert [asked.start for asked in peer.asked] == [None, CUT, None]


async def test_a_file_replaced_in_the_middle_of_an_answer_is_fetched_anew(bench, peer, target):
    peer.answers = [
        lambda asked: asked.whole(WHOLE[:CUT] + OTHER[CUT:], etag=WEAK),
        File(OTHER, 'W/"later"').answer,
    ]
    assert await fetched(bench, target, sha256=None, size=None) == OTHER
    assert bench.logged() == ["download-restarted"]


async def test_an_archive_that_grows_while_another_job_makes_it_is_waited_for(bench, peer, target):
    """`WIRE.md`, 9: answers of 200 with a matching length, and what is there so far."""
    upto = iter([10_000, 50_000, 50_000, 200_000, SIZE, SIZE, SIZE])

    def growing(asked):
        now = next(upto)
        asked.whole(OTHER[:now], etag=f'W/"{now}"')

    peer.answers = [growing]
    assert await fetched(bench, target, sha256=None, size=10_000) == OTHER
    assert bench.logged() == ["download-restarted", "download-restarted"]
    assert bench.progress() == sorted(bench.progress())
    assert bench.slept == [1.0, 2.0]


async def test_an_archive_cut_on_disk_that_stays_so_is_fetched_once(bench, peer, target):
    """`WIRE.md`, 14."""
    peer.answers = [File(WHOLE[:CUT], WEAK).answer]
    assert await fetched(bench, target, sha256=None, size=None) is Damaged
    assert [asked.method for asked in peer.asked] == ["GET", "HEAD"]


@pytest.mark.parametrize("every", [1_500, 30_000, SIZE - 1])
@pytest.mark.parametrize("known", [(WEAK, None), ('"v1"', DIGEST), (WEAK, DIGEST)], ids=["weak", "all", "weak, digest"])
async def test_a_server_that_drops_again_and_again_is_read_to_the_end(bench, peer, target, every, known):
    etag, sha256 = known
    peer.answers = [File(WHOLE, etag, drops_every=every).answer]
    assert await fetched(bench, target, sha256=sha256) == WHOLE
    assert [asked.start or 0 for asked in peer.asked] == list(range(0, SIZE, every))


async def test_a_server_without_range_that_drops_again_and_again_is_given_up(bench, peer, target):
    def drops(asked):
        asked.say(200, {"Content-Length": SIZE}, WHOLE[:CUT])
        asked.writer.close()

    peer.answers = [drops]
    assert await fetched(bench, target) is Unreachable


def chunked(asked, content=WHOLE, *, ends=True, etag='"v1"'):
    """Answer without any length."""
    body = b"%x\r\n%s\r\n" % (len(content), content) if content else b""
    asked.say(200, {"Transfer-Encoding": "chunked", "ETag": etag}, body + (b"0\r\n\r\n" if ends else b""))
    if not ends:
        asked.writer.close()


def to_the_end(asked, content=WHOLE):
    """Answer as HTTP/1.0 does: the end of the connection is that of the body."""
    asked.say(200, {"Connection": "close", "ETag": '"v1"'}, content)
    asked.writer.close()


def two_lengths(asked, first, second):
    asked.writer.write(
        f"HTTP/1.1 200 X\r\nContent-Length: {first}\r\nContent-Length: {second}\r\n\r\n".encode() + WHOLE
    )
    asked.writer.close()


def longer(asked):
    asked.say(200, {"Content-Length": SIZE + 5, "ETag": '"v1"'}, WHOLE)
    asked.writer.close()


@pytest.mark.parametrize(
    "case",
    [
        ([chunked], WHOLE, WHOLE),
        ([lambda asked: chunked(asked, WHOLE[:CUT])], Unreachable, Damaged),
        ([lambda asked: chunked(asked, WHOLE[:CUT], ends=False), Asked.honest], WHOLE, WHOLE),
        ([lambda asked: chunked(asked, WHOLE + b"x")], Damaged, Damaged),
        ([to_the_end], WHOLE, WHOLE),
        ([lambda asked: to_the_end(asked, WHOLE[:CUT])], Unreachable, Damaged),
        ([lambda asked: to_the_end(asked, WHOLE[:CUT]), Asked.honest], WHOLE, WHOLE),
        ([lambda asked: two_lengths(asked, SIZE, SIZE)], WHOLE, WHOLE),
        ([lambda asked: two_lengths(asked, SIZE, SIZE - 1)], Unreachable, Unreachable),
        ([longer], Damaged, Unreachable),
        ([lambda asked: asked.say(200, {"Content-Length": SIZE - 5, "ETag": '"v1"'}, WHOLE)], Damaged, Damaged),
        ([lambda asked: asked.say(200, {"Content-Length": 10**25}, WHOLE)], Unreachable, Unreachable),
        ([lambda asked: asked.say(200, {"Content-Length": 0})], Damaged, Damaged),
    ],
    ids=[
        "in chunks",
        "in chunks, too few",
        "in chunks, broken off",
        "in chunks, too many",
        "to the end",
        "to an early end",
        "to an early end, then honest",
        "said twice",
        "two lengths",
        "too long",
        "too short",
        "no number of bytes",
        "none",
    ],
)
async def test_a_length_that_is_wrong_or_missing_never_lets_a_wrong_file_through(bench, peer, target, case):
    """What becomes of it with the server's digest, and without."""
    answers, with_digest, without = case
    for sha256, due in ((DIGEST, with_digest), (None, without)):
        peer.answers = list(answers)
        with Partial(target, JOB) as partial:
            partial.remove()
        found = await fetched(bench, target, sha256=sha256, size=SIZE if sha256 else None)
        assert found == due
        target.unlink(missing_ok=True)
