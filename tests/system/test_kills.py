"""Kills of the real command at any byte, and while it verifies, renames and unpacks: the whole archive, or nothing.

`EXPORTCTL_KILLS` says how many each test makes; the seed is printed where one fails. What follows a kill goes on at the
last byte on disk, be it the same command or `resume`.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exportctl.client.partial import Partial
from exportctl.server.export.sample import make_sample
from system.processes import PATIENCE, Command, Served, command_in, until

KILLS = int(os.environ.get("EXPORTCTL_KILLS", "5"))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SLOWLY = ["--limit-rate", "8M"]
TELLS = ["--ndjson", "--progress", "none"]
RESUMES, LATER = 0.3, 0.4
"""Chances of what follows a kill, and of a kill after the last byte."""


@dataclass(kw_only=True)
class Place:
    """A finished job, and where its archive goes."""

    command: Command
    served: Served
    job: str
    whole: bytes
    tree: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        path = self.command.folder / "reference.zip"
        with zipfile.ZipFile(path) as archive:
            self.tree = {name: archive.read(name) for name in archive.namelist()}
        path.unlink()

    def download(self, *more: object) -> list[object]:
        """Return the words of a download to `out`."""
        return ["download", self.job, *self.served.options, *TELLS, *more]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    make_sample(folder / "plates", 10)
    command = command_in(folder / "command")
    served = Served.start(command, folder / "plates", state=folder / "state")
    try:
        ran = command.run("run", "plates", *served.options, "-o", "reference.zip", "--ndjson", "--progress", "none")
        assert ran.status == 0, ran.stderr
        job = f"{ran.result['projectId']}/{ran.result['jobId']}"
        yield Place(command=command, served=served, job=job, whole=(command.folder / "reference.zip").read_bytes())
    finally:
        served.end()


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def wait_for(process: subprocess.Popen, part: Path, upto: int) -> None:
    """Wait until so many bytes are there, or the partial is gone, or the command."""
    began = size_of(part)
    until(
        lambda: size_of(part) >= upto or size_of(part) < began or process.poll() is not None, f"byte {upto} or the end"
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_whenever_it_is_killed_the_output_is_whole_or_absent_and_the_next_goes_on(place, kind):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown where it fails
    chance = random.Random(seed)
    target = place.command.folder / "out"
    more = ["-o", "out"] if kind == "file" else ["--extract", "out"]
    part = Partial(target, place.job.partition("/")[2]).path
    size = len(place.whole)
    killed = 0
    while killed < KILLS:
        had = max(size_of(part), 0)
        upto = chance.choice([chance.randint(had, size), chance.randint(had, size), size - 1, size])
        number = chance.choice(SIGNALS)
        resumes = had > 0 and chance.random() < RESUMES
        words = ["resume", "--token", place.served.token, *TELLS] if resumes else place.download(*more)
        process = place.command.start(*words, *SLOWLY)
        process.stdout.readline()  # signals before its first line are the interpreter's
        wait_for(process, part, upto)
        if upto == size and chance.random() < LATER:  # it verified: it renames, or has unpacked
            wait_for(process, part, size + 1)
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE)
        killed += 1
        assert b"Traceback" not in told, told.decode()
        assert process.returncode in {0, -number}, (process.returncode, number, told.decode())
        if target.exists():
            found = {"": target.read_bytes()} if target.is_file() else tree(target)
            due = {"": place.whole} if kind == "file" else place.tree
            wrong = {name for name in found.keys() | due.keys() if found.get(name) != due.get(name)}
            assert not wrong, (words[0], number, upto, sorted(wrong)[:5], told.decode())
            remove(target)
            continue
        assert not part.exists() or part.read_bytes() == place.whole[: size_of(part)], f"after {number!r} at {upto}"
    had = max(size_of(part), 0)
    ended = place.command.run(*place.download(*more))
    assert ended.status == 0, ended.stderr
    assert ended.result["stats"]["resumedFrom"] == (had or None)
    if kind == "file":
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(place.whole).digest()
    else:
        assert tree(target) == place.tree
    assert [path.name for path in place.command.folder.iterdir()] == ["out"]
    remove(target)


UNNOTED = """
import os, signal, sys
from exportctl.__main__ import main
from exportctl.commands.body.memory import Memory
Memory.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


@pytest.mark.parametrize("is_resumed", [True, False])
@pytest.mark.parametrize("more", [["--extract", "out"], ["-o", "n.zip", "--extract", "out"]])
def test_killed_between_the_extraction_and_its_note_the_next_command_finds_it_done(place, more, is_resumed):
    command = place.command
    environment = {"HOME": str(command.home), "PATH": os.environ["PATH"]}
    words = [sys.executable, "-c", UNNOTED, *map(str, place.download(*more))]
    killed = subprocess.run(words, cwd=command.folder, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    folder = command.folder / "out"
    assert tree(folder) == place.tree
    made = folder.stat().st_ino
    resume = ["resume", "--token", place.served.token, *TELLS]
    ended = command.run(*(resume if is_resumed else place.download(*more)))
    assert (ended.status, ended.result["verified"], ended.result["bytes"]) == (0, True, len(place.whole)), ended.stderr
    assert ended.result["stats"]["resumedFrom"] == len(place.whole)
    assert (tree(folder), folder.stat().st_ino) == (place.tree, made)
    assert {path.name for path in command.folder.iterdir()} <= {"out", "n.zip"}
    again = command.run(*resume)
    assert (again.status, again.result["outcome"]) == (0, "ok")
    for path in command.folder.iterdir():
        remove(path)


@pytest.mark.parametrize("meddle", ["added", "replaced"])
def test_a_folder_that_others_put_there_meanwhile_is_not_taken_for_the_extraction(place, meddle):
    command = place.command
    environment = {"HOME": str(command.home), "PATH": os.environ["PATH"]}
    words = [sys.executable, "-c", UNNOTED, *map(str, place.download("--extract", "out"))]
    subprocess.run(words, cwd=command.folder, env=environment, capture_output=True, check=False)
    folder = command.folder / "out"
    if meddle == "replaced":
        remove(folder)
        folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    ended = command.run(*place.download("--extract", "out"))
    assert (ended.status, ended.result["error"]["code"]) == (11, "EXISTS")
    assert (folder / "mine").read_bytes() == b"mine"
    assert command.run(*place.download("--extract", "out", "--overwrite")).status == 0
    assert tree(folder) == place.tree
    assert [path.name for path in command.folder.iterdir()] == ["out"]
    remove(folder)


def remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
        return
    for inner in sorted(path.rglob("*"), reverse=True):
        inner.rmdir() if inner.is_dir() else inner.unlink()
    path.rmdir()
