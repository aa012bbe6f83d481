"""What a server answers to a request for the rest of an archive, in every form: taken, refused, or waited for."""

import asyncio
import base64

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, SIZE, WHOLE, Asked, fetched, names, open_peer
from exportctl.client import wire
from exportctl.client.asking import BUDGET_SECONDS
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Busy, CannotWrite, Damaged, NotFound, Unreachable

GIB = 1 << 30


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
    assert not Partial(target, JOB).path.exists()


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


class TestLedElsewhere:
    """A server that keeps its archives in object storage, and sends to a signed address there."""

    @staticmethod
    def sends_to(url, status=302):
        return lambda asked: asked.say(status, {"Location": url, "Content-Length": 0})

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_the_archive_is_fetched_from_there_and_goes_on_there(self, bench, peer, target, status):
        async with open_peer() as bucket:
            bench.http.cookies.set("access_token", "session")
            bucket.answers = [lambda asked: asked.whole(until=CUT), Asked.honest]
            peer.answers = [self.sends_to(f"{bucket.url}/bucket/key.zip?X-Signature=abc", status)]
            assert await fetched(bench, target) == WHOLE
            assert [asked.start for asked in bucket.asked] == [None, CUT]
            assert len(peer.asked) == 2  # each time anew: signatures run out
            assert {asked.headers["authorization"] for asked in peer.asked} == {"Bearer secret"}
            for asked in bucket.asked:
                assert not {"authorization", "cookie", "x-correlation-id"} & asked.headers.keys()
                assert "secret" not in str(asked.headers)
                assert "session" not in str(asked.headers)

    async def test_what_comes_from_there_is_checked_as_any(self, bench, peer, target):
        async with open_peer() as bucket:
            bucket.answers = [lambda asked: asked.whole(OTHER)]
            peer.answers = [self.sends_to(bucket.url + "/x")]
            assert await fetched(bench, target) is Damaged

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://a:b@127.0.0.1/x", "file:///etc/passwd"])
    async def test_what_is_no_place_of_archives_is_not_gone_to(self, bench, peer, target, url):
        peer.answers = [self.sends_to(url)]
        with pytest.raises(Unreachable) as caught:
            await bench.download().to_file(target, overwrite=False)
        assert caught.value.code == "REDIRECTED"

    async def test_a_circle_comes_to_an_end(self, bench, peer, target):
        peer.answers = [self.sends_to(peer.url + "/again")]
        with pytest.raises(Unreachable) as caught:
            await bench.download().to_file(target, overwrite=False)
        assert caught.value.code == "REDIRECTED"
        assert len(peer.asked) == 6
