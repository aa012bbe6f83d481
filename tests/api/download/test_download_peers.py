"""Servers of the wild: those that pack, drop, trickle, fall silent, cut and replace; and where each leaves the file."""

import asyncio
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from download_peer import CUT, DIGEST, JOB, OTHER, SIZE, WHOLE, Asked, Bench, names
from exportctl.client import intake
from exportctl.client.extracted import forget
from exportctl.client.fetching import ATTEMPTS
from exportctl.client.http import Server, open_client
from exportctl.client.partial import Origin, Partial
from exportctl.model.errors import CannotWrite, Damaged, Unreachable
from waiting import until

TESTS = str(Path(__file__).parents[2])
WEAK = 'W/"size-mtime"'


def begun(target, content, *, etag=WEAK, size=SIZE, sha256=None):
    with Partial(target, JOB) as partial:
        partial.begin(Origin(job_id=JOB, etag=etag, size=size, sha256=sha256))
        partial.append(content)


def head(asked, *, etag=WEAK, size=SIZE):
    asked.say(200, {"Content-Length": size, "ETag": etag})


def weak(asked):
    asked.honest(etag=WEAK)


def unknown(bench, **options):
    """Download as from protocol 1: neither size nor digest is known."""
    return bench.download(size=None, sha256=None, **options)


@pytest.mark.parametrize("verify", [True, False])
async def test_an_answer_packed_in_an_unknown_way_is_refused_and_what_was_fetched_stays(bench, peer, target, verify):
    begun(target, WHOLE[:CUT], etag='"v1"', sha256=DIGEST)
    peer.answers = [lambda asked: asked.whole(**{"Content-Encoding": "br"})]
    with pytest.raises(Damaged) as caught:
        await bench.download(verify=verify).to_file(target, overwrite=False)
    assert (caught.value.code, caught.value.exit_status) == ("ENCODED", 8)
    assert not target.exists()
    assert Partial(target, JOB).path.read_bytes() == WHOLE[:CUT]


async def test_a_complete_partial_of_protocol_1_is_never_asked_for_at_its_end(bench, peer, target):
    """The server would not answer (`WIRE.md`, 10): its size and validator are asked for instead."""
    begun(target, WHOLE)
    peer.answers = [head]
    saved = await unknown(bench).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.verified) == (WHOLE, True)
    assert [asked.start for asked in peer.asked] == [None]


@pytest.mark.parametrize("changed", [{"etag": 'W/"other"'}, {"size": SIZE - 1}])
async def test_a_partial_of_an_archive_that_was_replaced_meanwhile_is_left(bench, peer, target, changed):
    begun(target, WHOLE[:CUT])
    peer.answers = [lambda asked: head(asked, **changed), lambda asked: asked.whole(OTHER, etag=WEAK)]
    saved = await unknown(bench).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.resumed_from) == (OTHER, None)
    assert all(asked.start is None for asked in peer.asked)


async def test_what_was_resumed_under_a_weak_validator_is_trusted_when_it_is_whole(bench, peer, target):
    begun(target, WHOLE[:CUT])
    peer.answers = [head, weak]
    saved = await unknown(bench).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.resumed_from, saved.verified) == (WHOLE, CUT, True)
    assert [asked.headers.get("if-range") for asked in peer.asked] == [None, WEAK]


@pytest.mark.parametrize("verify", [True, False])
async def test_pieces_of_two_archives_under_one_weak_validator_are_fetched_anew_once(bench, peer, target, verify):
    """Same size, same second, other bytes: `WIRE.md`, 9."""
    peer.answers = [lambda asked: asked.whole(OTHER, etag=WEAK, until=CUT), weak]
    await unknown(bench, verify=verify).to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert bench.logged() == ["download-interrupted", "download-restarted"]


async def test_pieces_that_do_not_match_the_second_time_either_are_damaged(bench, peer, target):
    half = lambda asked: asked.whole(OTHER, etag=WEAK, until=CUT)  # noqa: E731 - one answer, twice
    peer.answers = [half, weak, half, weak]
    with pytest.raises(Damaged) as caught:
        await unknown(bench).to_file(target, overwrite=False)
    assert (caught.value.exit_status, names(target)) == (8, [])


async def test_without_verification_nothing_is_gone_on_with_under_a_weak_validator(bench, peer, target):
    begun(target, OTHER[:CUT])
    peer.answers = [weak]
    saved = await unknown(bench, verify=False).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.resumed_from) == (WHOLE, None)


async def test_an_archive_cut_on_the_servers_disk_is_damaged_though_its_length_is_as_told(bench, peer, target):
    peer.answers = [lambda asked: asked.whole(WHOLE[:CUT], etag=WEAK)]
    with pytest.raises(Damaged) as caught:
        await unknown(bench).to_file(target, overwrite=False)
    assert (caught.value.code, names(target)) == ("BAD_ARCHIVE", [])


async def test_the_digest_that_only_the_answer_tells_is_held_against_the_bytes(bench, peer, target):
    said = "sha-256=:" + "A" * 43 + "=:"
    peer.answers = [lambda asked: asked.whole(**{"Repr-Digest": said})]
    with pytest.raises(Damaged) as caught:
        await unknown(bench).to_file(target, overwrite=False)
    assert (caught.value.code, names(target)) == ("OTHER_DIGEST", [])


async def test_a_416_that_tells_the_size_of_what_is_there_completes_it(bench, peer, target):
    """Nobody knew the size: the connection was cut exactly at the end."""

    def chunked(asked):
        asked.say(200, {"Transfer-Encoding": "chunked", "ETag": '"v1"'}, b"%x\r\n%s\r\n" % (SIZE, WHOLE))
        asked.writer.close()

    peer.answers = [chunked, lambda asked: asked.say(416, {"Content-Length": 0, "Content-Range": f"bytes */{SIZE}"})]
    saved = await unknown(bench).to_file(target, overwrite=False)
    assert (target.read_bytes(), saved.verified) == (WHOLE, True)
    assert [asked.start for asked in peer.asked] == [None, SIZE]


async def test_an_answer_in_chunks_is_read_to_its_end(bench, peer, target):
    def chunked(asked):
        pieces = [WHOLE[at : at + 7001] for at in range(0, SIZE, 7001)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        asked.say(200, {"Transfer-Encoding": "chunked"}, body + b"0\r\n\r\n")

    peer.answers = [chunked]
    await unknown(bench).to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE


async def test_a_length_that_is_too_long_is_a_broken_connection(bench, peer, target):
    def short(asked):
        asked.say(200, {"Content-Length": SIZE + 5, "ETag": '"v1"'}, WHOLE)
        asked.writer.close()

    peer.answers = [short, lambda asked: asked.refuse(416)]
    with pytest.raises((Unreachable, Damaged)):
        await unknown(bench).to_file(target, overwrite=False)
    assert not target.exists()


@pytest.mark.parametrize("said", ["a few", "-5", "1, 2"])
async def test_a_length_that_is_none_is_no_answer(bench, peer, target, said):
    peer.answers = [lambda asked: asked.say(200, {"Content-Length": said}, WHOLE)]
    with pytest.raises(Unreachable):
        await unknown(bench).to_file(target, overwrite=False)
    assert (target.exists(), len(peer.asked)) == (False, ATTEMPTS)


async def test_a_connection_dropped_again_and_again_costs_no_long_waits(bench, peer, target):
    peer.answers = [lambda asked: asked.honest(until=10_000)]
    await bench.download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert max(bench.slept) <= 0.1


async def test_a_trickle_is_cut_and_a_better_connection_tried(bench, peer, target, monkeypatch):
    monkeypatch.setattr(intake, "PATIENCE", 0.2)
    bench.real_time = True

    async def trickle(asked):
        asked.say(200, {"Content-Length": SIZE, "ETag": '"v1"'}, WHOLE[:1])
        for at in range(1, 100):
            await asyncio.sleep(0.05)  # the server's own slowness, not the test's waiting
            asked.writer.write(WHOLE[at : at + 1])

    trickling = []
    peer.answers = [lambda asked: trickling.append(asyncio.create_task(trickle(asked))), Asked.honest]
    await bench.download().to_file(target, overwrite=False)
    trickling[0].cancel()
    assert target.read_bytes() == WHOLE
    assert bench.logged()[0] == "download-interrupted"


async def test_the_last_bytes_of_a_trickle_are_waited_for(bench, peer, target, monkeypatch):
    """A new connection would bring them no sooner: a small archive comes whole at a byte a second."""
    monkeypatch.setattr(intake, "PATIENCE", 0.2)
    bench.real_time = True

    async def trickle(asked):
        asked.say(200, {"Content-Length": SIZE, "ETag": '"v1"'}, WHOLE[:-20])
        for at in range(SIZE - 20, SIZE):
            await asyncio.sleep(0.05)  # the server's own slowness, not the test's waiting
            asked.writer.write(WHOLE[at : at + 1])

    trickling = []
    peer.answers = [lambda asked: trickling.append(asyncio.create_task(trickle(asked)))]
    await bench.download().to_file(target, overwrite=False)
    await trickling[0]
    assert target.read_bytes() == WHOLE
    assert (len(peer.asked), bench.logged()) == (1, [])


async def test_a_server_that_falls_silent_is_left_when_its_time_is_over(peer, target):
    peer.answers = [
        lambda asked: asked.say(200, {"Content-Length": SIZE, "ETag": '"v1"'}, WHOLE[:CUT]),
        Asked.honest,
    ]
    async with open_client(Server(url=peer.url, correlation_id="c")) as http:
        http.timeout = 0.3
        await Bench(peer, http).download().to_file(target, overwrite=False)
    assert target.read_bytes() == WHOLE
    assert [asked.start for asked in peer.asked] == [None, CUT]


async def test_a_download_that_is_given_up_ends_at_once_though_the_server_is_silent(bench, peer, target):
    bench.http.timeout = 7200.0  # who waited for the server would never end
    peer.answers = [lambda asked: asked.say(200, {"Content-Length": SIZE, "ETag": '"v1"'}, WHOLE[:CUT])]
    task = asyncio.create_task(bench.download().to_file(target, overwrite=False))
    part = Partial(target, JOB).path
    await until(lambda: part.exists() and part.stat().st_size == CUT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def left_beside(folder):
    """Return what lies in its place when its end is noted: then the mark goes."""
    forget(folder, JOB)
    return names(folder)


async def test_a_folder_is_made_of_the_archive_and_nothing_else_is_left(bench, peer, tmp_path):
    folder = tmp_path / "out"
    peer.answers = [Asked.honest]
    saved = await bench.download().to_folder(folder, overwrite=False)
    assert (saved.path, saved.verified, saved.bytes) == (folder, True, SIZE)
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"images/{path.name}": path.read_bytes() for path in (folder / "images").iterdir()
        }
    assert left_beside(folder) == ["out"]


async def test_a_folder_fetched_halfway_is_gone_on_with(bench, peer, tmp_path):
    folder = tmp_path / "out"
    peer.answers = [lambda asked: asked.whole(until=CUT), lambda asked: asked.refuse(404)]
    with pytest.raises(Exception, match="no"):
        await bench.download().to_folder(folder, overwrite=False)
    assert not folder.exists()
    peer.answers = [Asked.honest]
    saved = await bench.download().to_folder(folder, overwrite=False)
    assert saved.resumed_from == CUT
    assert left_beside(folder) == ["out"]


async def test_a_hostile_archive_leaves_neither_folder_nor_partial(bench, peer, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("../up", b"x")
    evil = content.getvalue()
    peer.answers = [lambda asked: asked.whole(evil)]
    download = bench.download(size=len(evil), sha256=hashlib.sha256(evil).hexdigest())
    with pytest.raises(Damaged) as caught:
        await download.to_folder(tmp_path / "out", overwrite=False)
    assert (caught.value.code, names(tmp_path / "out")) == ("UNSAFE_ARCHIVE", [])


async def test_a_folder_that_is_in_the_way_keeps_what_was_fetched(bench, peer, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine").touch()
    peer.answers = [Asked.honest]
    with pytest.raises(CannotWrite):
        await bench.download().to_folder(folder, overwrite=False)
    assert [path.name for path in folder.iterdir()] == ["mine"]
    assert Partial(folder, JOB).path.stat().st_size == SIZE


KILLED = """
import asyncio, os, sys
import anyio.streams.tls, anyio._backends._asyncio, httpcore
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from download_peer import Bench
from exportctl.client.http import Server, open_client
async def main():
    class Peer: url = sys.argv[1]
    async with open_client(Server(url=Peer.url, correlation_id="c")) as http:
        download = Bench(Peer, http).download(size=int(sys.argv[5]), sha256=sys.argv[6])
        place = Path(sys.argv[2])
        await (download.to_folder if sys.argv[3] == "folder" else download.to_file)(place, overwrite=False)
# Each line is a command: a process of its own that has imported what it needs, which takes most of its time.
for _ in sys.stdin:
    if (command := os.fork()) == 0:
        asyncio.run(main())
        os._exit(0)
    print(command, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]), flush=True)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_command_killed_at_any_byte_leaves_the_whole_or_nothing_and_the_next_goes_on(peer, tmp_path, kind):
    """24 kills of each, at bytes that a seed chooses: what the server sends before it stalls, then SIGKILL."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown where it fails
    chance = random.Random(seed)
    place = tmp_path / "out"
    part = Partial(place, JOB).path
    command = [sys.executable, "-c", KILLED, peer.url, str(place), kind, TESTS, str(SIZE), DIGEST]
    commands = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    async def begun():
        commands.stdin.write(b"\n")
        return int(await commands.stdout.readline())

    async def ended():
        return int(await commands.stdout.readline())

    have, kills = 0, 0
    while kills < 24:
        until_byte = chance.randrange(have, SIZE)

        def stalls(asked, until_byte=until_byte):
            start = asked.start or 0
            said = {"Content-Length": SIZE - start, "ETag": '"v1"'}
            if asked.start is not None:
                said["Content-Range"] = f"bytes {start}-{SIZE - 1}/{SIZE}"
            asked.say(206 if asked.start is not None else 200, said, WHOLE[start:until_byte])

        peer.answers = [stalls]
        process = await begun()
        await until(lambda wanted=until_byte: part.exists() and part.stat().st_size >= wanted and peer.asked)
        os.kill(process, signal.SIGKILL)
        assert await ended() == -signal.SIGKILL
        kills += 1
        assert not place.exists()
        have = part.stat().st_size
        assert part.read_bytes() == WHOLE[:have]
        if have > SIZE - 1000:
            part.unlink()
            have = 0
        peer.asked.clear()
    peer.answers = [Asked.honest]
    await begun()
    assert await ended() == 0
    commands.stdin.close()
    await commands.wait()
    assert left_beside(place) == ["out"]
    if kind == "file":
        assert place.read_bytes() == WHOLE
    assert peer.asked[0].start == (have or None)
