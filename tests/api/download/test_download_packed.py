"""Servers and proxies that pack the archive with gzip, unasked: it is unpacked and checked, or not there."""

import asyncio
import gzip
import os
import random

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, PROJECT, SIZE, WHOLE, fetched, names
from exportctl.client.answering import Client
from exportctl.client.api import Api
from exportctl.client.http import Server
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import Damaged, Unreachable

PACKED = gzip.compress(WHOLE)
SEVERAL = gzip.compress(WHOLE[:CUT]) + gzip.compress(b"") + gzip.compress(WHOLE[CUT:])
TWISTED = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
"""Its CRC is another."""


def packed(asked, content=PACKED, *, until=None, **headers):
    said = {"Content-Length": len(content), "Content-Encoding": "gzip", "ETag": 'W/"v1"', **headers}
    asked.say(200, said, content[:until])
    if until is not None:
        asked.writer.close()


def in_chunks(asked):
    chance, body, at = random.Random(1), b"", 0
    while at < len(PACKED):
        piece = PACKED[at : at + chance.randint(1, 20_000)]
        body, at = body + b"%x\r\n%b\r\n" % (len(piece), piece), at + len(piece)
    asked.say(200, {"Transfer-Encoding": "chunked", "Content-Encoding": "GZIP"}, body + b"0\r\n\r\n")


def digest_of_the_sent(asked):
    """Answer as RFC 9530 has it: the digest is that of the representation, which is packed."""
    packed(asked, **{"Repr-Digest": "sha-256=:" + 43 * "A" + "=:"})


@pytest.mark.parametrize("known", [{}, {"size": None, "sha256": None}, {"sha256": None}])
@pytest.mark.parametrize(
    "answer",
    [packed, in_chunks, digest_of_the_sent, lambda asked: packed(asked, SEVERAL)],
    ids=lambda one: one.__name__,
)
async def test_it_is_unpacked_as_it_comes(bench, peer, target, known, answer):
    peer.answers = [answer]
    assert await fetched(bench, target, **known) == WHOLE
    assert len(peer.asked) == 1
    assert bench.logged() == []


@pytest.mark.parametrize("known", [{}, {"size": None, "sha256": None}])
async def test_it_is_unpacked_behind_a_web_proxy_too(bench, peer, target, known):
    """There httpx's own transport speaks."""
    peer.answers = [packed]
    async with Client(base_url=peer.url, open_trust=lambda: None) as bench.http:
        assert await fetched(bench, target, **known) == WHOLE


async def test_what_breaks_off_is_begun_anew(bench, peer, target):
    peer.answers = [lambda asked: packed(asked, until=len(PACKED) // 2), packed]
    assert await fetched(bench, target) == WHOLE
    assert [asked.start for asked in peer.asked] == [None, None]
    assert bench.logged() == ["download-interrupted", "download-restarted"]


async def test_what_always_breaks_off_is_given_up(bench, peer, target):
    peer.answers = [lambda asked: packed(asked, until=len(PACKED) // 2)]
    assert await fetched(bench, target) is Unreachable


async def test_a_part_that_is_packed_is_not_put_to_what_is_there(bench, peer, target):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag='"v1"', size=SIZE, sha256=DIGEST))
        partial.append(WHOLE[:CUT])

    def part(asked):
        said = {"Content-Range": f"bytes {CUT}-{SIZE - 1}/{SIZE}", "Content-Encoding": "gzip", "ETag": '"v1"'}
        asked.say(206, {"Content-Length": 9, **said}, b"x" * 9)
        asked.writer.close()

    peer.answers = [part, packed]
    assert await fetched(bench, target) == WHOLE
    assert [asked.start for asked in peer.asked] == [CUT, None]


@pytest.mark.parametrize("known", [{}, {"size": None, "sha256": None}])
@pytest.mark.parametrize("content", [TWISTED, WHOLE, PACKED + b"rubbish", PACKED[:-1], b"", gzip.compress(OTHER[:-1])])
async def test_nothing_wrong_gets_through(bench, peer, target, known, content):
    """Where the archive's own digest is known and holds, what is wrong with its packing does not matter."""
    peer.answers = [lambda asked: packed(asked, content)]
    right = {Damaged, Unreachable} if known else {Damaged, Unreachable, WHOLE}
    assert await fetched(bench, target, **known) in right


async def test_other_bytes_than_announced_are_damaged(bench, peer, target):
    peer.answers = [lambda asked: packed(asked, gzip.compress(OTHER))]
    assert await fetched(bench, target) is Damaged
    assert names(target) == []


async def test_more_than_was_announced_is_not_written(bench, peer, target):
    peer.answers = [lambda asked: packed(asked, gzip.compress(WHOLE + bytes(1 << 26)))]
    assert await fetched(bench, target) is Damaged
    assert names(target) == []


async def test_several_connections_become_one(bench, peer, target):
    peer.answers = [packed]
    assert await fetched(bench, target, connections=4) == WHOLE


def all_of(descriptor):
    whole = b""
    while piece := os.read(descriptor, 1 << 16):
        whole += piece
    return whole


async def test_it_goes_to_a_pipe(bench, peer):
    peer.answers = [packed]
    reader, writer = os.pipe()
    try:
        reading = asyncio.create_task(asyncio.to_thread(all_of, reader))
        saved = await bench.download(size=None, sha256=None).to_descriptor(writer)
        os.close(writer)
        assert (await reading, saved.verified) == (WHOLE, True)
    finally:
        os.close(reader)


async def test_its_length_is_not_taken_for_the_archives(bench, peer):
    """Protocol 1 tells the size by a HEAD request alone."""
    peer.answers = [packed]
    api = Api(http=bench.http, server=Server(url=peer.url, correlation_id="c"))
    assert (await api.measure(PROJECT, JOB)).size is None
