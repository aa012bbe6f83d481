"""Every kind of server against every promise: whatever it does, the file is the whole, right archive or is not there.

The table is `download_peer`'s scripts; each says what becomes of the file where the server gives a digest (protocol 2)
and where it gives none (protocol 1).
"""

import asyncio
import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, SIZE, WHOLE, Asked
from exportctl.client import wire
from exportctl.client.asking import BUDGET_SECONDS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Busy, CannotWrite, Damaged, ExportctlError, NotFound, Unreachable

WEAK = 'W/"size-mtime"'
LONGER = WHOLE + OTHER
GIB = 1 << 30


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


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


async def fetched(bench, target, **options):
    """Return what came of it: the bytes at the target, or the error's class."""
    try:
        saved = await bench.download(**options).to_file(target, overwrite=False)
    except ExportctlError as error:
        assert not target.exists()
        return type(error)
    assert saved.verified
    assert saved.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert names(target) == [target.name]
    return target.read_bytes()


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


def rest(asked, content=WHOLE, **said):
    body = content[asked.start :]
    default = f"bytes {asked.start}-{len(content) - 1}/{len(content)}"
    headers = {"Content-Length": len(body), "ETag": '"v1"', "Content-Range": default}
    asked.say(206, {name: value for name, value in (headers | said).items() if value is not None}, body)


def several_parts(asked):
    body = b"--b\r\nContent-Type: application/zip\r\nContent-Range: bytes 0-9/20\r\n\r\n0123456789\r\n--b--\r\n"
    asked.say(206, {"Content-Length": len(body), "Content-Type": "multipart/byteranges; boundary=b"}, body)


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: rest(asked, **{"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"}),
        lambda asked: rest(asked, **{"Content-Range": f"bytes {asked.start - 1}-{SIZE - 1}/{SIZE}"}),
        lambda asked: rest(asked, **{"Content-Range": f"bytes {asked.start}-{SIZE - 1}/{SIZE + 1}"}),
        lambda asked: rest(asked, **{"Content-Range": f"bytes {asked.start}-{SIZE}/{SIZE}"}),
        lambda asked: rest(asked, **{"Content-Range": f"bytes {asked.start}-{asked.start - 1}/{SIZE}"}),
        lambda asked: rest(asked, **{"Content-Range": f"bytes */{SIZE}"}),
        lambda asked: rest(asked, **{"Content-Range": None}),
        lambda asked: rest(asked, **{"Content-Range": "bytes"}),
        lambda asked: rest(asked, **{"Content-Range": f"octets {asked.start}-{SIZE - 1}/{SIZE}"}),
        lambda asked: rest(asked, OTHER, ETag='"v2"'),
        lambda asked: rest(asked, ETag='W/"v1"'),
        several_parts,
        lambda asked: asked.whole(),
        lambda asked: asked.refuse(416),
        lambda asked: asked.say(416, {"Content-Length": 0, "Content-Range": f"bytes */{SIZE + 1}"}),
        lambda asked: rest(asked, OTHER),  # all right but the bytes
    ],
    ids=[
        "from 0",
        "a byte before",
        "other size",
        "longer than all",
        "backwards",
        "no part",
        "no range",
        "no sense",
        "no bytes",
        "other validator",
        "weak validator",
        "several parts",
        "200",
        "416",
        "416 of another size",
        "other bytes",
    ],
)
async def test_what_is_not_the_rest_asked_for_is_refused_and_begun_anew(bench, peer, target, answer):
    peer.answers = [lambda asked: asked.whole(until=CUT), answer, Asked.honest]
    assert await fetched(bench, target) == WHOLE
    assert bench.logged() == ["download-interrupted", "download-restarted"]


@pytest.mark.parametrize(
    "said",
    [
        {"Content-Range": f"bytes {CUT}-{SIZE - 1}/*"},
        {"Content-Length": None, "Connection": "close"},
        {"ETag": None},
    ],
    ids=["size not said", "length not said", "validator not said"],
)
async def test_a_rest_that_says_less_than_it_could_is_taken(bench, peer, target, said):
    def last(asked):
        rest(asked, **said)
        asked.writer.close()

    peer.answers = [lambda asked: asked.whole(until=CUT), last]
    assert await fetched(bench, target) == WHOLE
    assert bench.logged() == ["download-interrupted"]


async def test_a_server_that_gives_the_rest_piece_by_piece_is_asked_for_each(bench, peer, target):
    def piece(asked):
        stop = min(asked.start + 20_000, SIZE)
        said = {"Content-Range": f"bytes {asked.start}-{stop - 1}/{SIZE}", "Content-Length": stop - asked.start}
        asked.say(206, {"ETag": '"v1"', **said}, WHOLE[asked.start : stop])

    peer.answers = [lambda asked: asked.whole(until=CUT), piece]
    assert await fetched(bench, target) == WHOLE
    assert [asked.start for asked in peer.asked] == [None, *range(CUT, SIZE, 20_000)]


async def test_more_bytes_than_the_part_that_was_said_are_not_taken(bench, peer, target):
    def more(asked):
        body = WHOLE[asked.start :][:100] + b"surplus"
        said = {"Transfer-Encoding": "chunked", "Content-Range": f"bytes {asked.start}-{asked.start + 99}/{SIZE}"}
        asked.say(206, {"ETag": '"v1"', **said}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    peer.answers = [lambda asked: asked.whole(until=CUT), more, Asked.honest]
    assert await fetched(bench, target) == WHOLE


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (410, NotFound), (304, Unreachable), (204, Unreachable), (409, Busy)]
)
async def test_an_answer_without_bytes_ends_it_in_words(bench, peer, target, status, kind):
    """Some end it at once; a status without sense in it is asked about again, a few times."""
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.say(status, {"Content-Length": 0})]
    if status in {204, 304}:
        peer.answers[1] = lambda asked: asked.say(status, {})
    assert await fetched(bench, target) is kind


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_a_server_in_trouble_is_waited_for_as_long_as_it_asks(bench, peer, target, status):
    trouble = lambda asked: asked.say(status, {"Content-Length": 0, "Retry-After": "17"})  # noqa: E731 - one answer
    peer.answers = [trouble, lambda asked: asked.whole(until=CUT), trouble, Asked.honest]
    assert await fetched(bench, target) == WHOLE
    assert bench.slept.count(17.0) == 2


async def test_a_server_that_asks_for_a_longer_wait_than_a_command_makes_is_told_of(bench, peer, target):
    said = {"Content-Length": 0, "Retry-After": str(int(BUDGET_SECONDS) + 1)}
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.say(503, said)]
    assert await fetched(bench, target) is Unreachable
    assert len(peer.asked) == 2
    assert Partial(target, JOB).path.stat().st_size == CUT


@pytest.mark.parametrize("sha256", [DIGEST, None], ids=["digest", "none"])
async def test_a_page_for_people_is_no_archive_and_costs_nothing_that_was_fetched(bench, peer, target, sha256):
    """The sign-in page of a proxy, a portal: 200, and HTML."""
    page = b"<!doctype html><form action=/login>"
    said = {"Content-Length": len(page), "Content-Type": "text/html; charset=utf-8"}
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.say(200, said, page)]
    with pytest.raises(Unreachable) as caught:
        await bench.download(sha256=sha256).to_file(target, overwrite=False)
    assert (caught.value.code, caught.value.exit_status) == ("NO_ARCHIVE", 7)
    assert Partial(target, JOB).path.stat().st_size == CUT
    peer.answers = [Asked.honest]
    assert await fetched(bench, target, sha256=sha256) == WHOLE


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("sha-256=:{right}:", WHOLE),
        ("sha-512=:AAAA:, sha-256=:{right}:", WHOLE),
        ("sha-256=:{right}:;by=me, md5=:AAAA:", WHOLE),
        ("sha-256=:{wrong}:", Damaged),
        ("md5=:AAAA:,sha-256=:{wrong}:", Damaged),
        ("unixsum=:AAAA:", WHOLE),
        ("sha-256={right}", WHOLE),
        ("sha-256=:AAAA:", WHOLE),
        ("", WHOLE),
        ("x" * 5000, WHOLE),
        ("x-sha-256=:{wrong}:", WHOLE),
    ],
)
async def test_a_digest_of_the_answer_counts_where_it_can_be_read(bench, peer, target, said, due):
    """Others are ignored (RFC 9530, section 3): the archive's own CRCs then vouch for it."""
    right = base64.b64encode(bytes.fromhex(DIGEST)).decode()
    wrong = base64.b64encode(bytes(32)).decode()
    said = said.replace("{right}", right).replace("{wrong}", wrong)
    peer.answers = [lambda asked: asked.whole(**{"Repr-Digest": said})]
    assert await fetched(bench, target, sha256=None, size=None) == due


@pytest.mark.parametrize("size", [None, 10])
async def test_room_is_asked_for_before_the_first_byte_though_only_the_answer_tells_the_size(bench, peer, target, size):
    peer.answers = [lambda asked: asked.say(200, {"Content-Length": 1 << 60, "ETag": '"v1"'}, WHOLE)]
    with pytest.raises(CannotWrite) as caught:
        await bench.download(size=size, sha256=None).to_file(target, overwrite=False)
    assert caught.value.code == "DISK_FULL"
    assert Partial(target, JOB).path.stat().st_size == 0


async def test_a_head_that_trickles_is_cut(bench, peer, target, monkeypatch):
    """A byte now and then is no silence, and no answer either."""
    bench.http.timeout = 0.2
    ends = []

    def trickle(asked):
        async def drip():
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: " + b"y" * 1000:
                asked.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)  # the server's own slowness, not the test's waiting

        ends.append(asyncio.create_task(drip()))

    monkeypatch.setattr(wire, "GLANCE", 0.01)
    peer.answers = [trickle, Asked.honest]
    assert await fetched(bench, target) == WHOLE
    ends[0].cancel()


async def test_the_words_of_a_refusal_are_not_read_without_end(bench, peer, target):
    peer.answers = [
        lambda asked: asked.say(404, {"Content-Type": "text/plain", "Content-Length": 4 * GIB}, b"no" * 2_000_000)
    ]
    assert await fetched(bench, target) is NotFound


async def test_what_can_never_be_gone_on_with_is_taken_away(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
        partial.append(WHOLE[:CUT])
    peer.answers = [lambda asked: asked.refuse(410)]
    assert await fetched(bench, target) is NotFound
    assert names(target) == []
