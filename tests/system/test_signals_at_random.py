"""Signals at random instants: whatever the moment, the right status, one `result` a job, no orphan, no torn file, a
store that opens, a job that can be picked up.

Each seed is a command, a signal or two, and an instant. `EXPORTCTL_TEST_SIGNALS=N` runs N of them, and
`EXPORTCTL_TEST_SEED` begins at another one; a failure names its own.
"""

import os
import random
import signal
import sqlite3
import time
import zipfile
from dataclasses import dataclass

import orjson
import pytest

from exportctl.server.export.sample import make_sample
from people_server import EMAIL, PASSWORD, serving
from system.processes import Ended, Served, command_in, descendants_in, end_of, until

RUNS = int(os.environ.get("EXPORTCTL_TEST_SIGNALS", "8"))
SEED = int(os.environ.get("EXPORTCTL_TEST_SEED", "20261124"))
INT, TERM, HUP, KILL, PIPE = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGPIPE
SIGNALS = [[INT], [TERM], [HUP], [KILL], [PIPE], [INT, INT], [INT, TERM], [TERM, INT], [HUP, INT], [INT, KILL]]
COMMANDS = ["run", "run here", "follow", "download", "cancel", "resume", "list", "login"]
LONGEST = {"run": 4.0, "run here": 5.0, "list": 2.0, "login": 1.0}
"""Seconds from a command's start to the signal, at most: start-up, processing and download all lie within."""
OTHERS_LONGEST = 2.5
TOGETHER = 0.1


@dataclass(frozen=True, kw_only=True)
class World:
    """A server with a project, a finished job there, and one that signs people in."""

    served: Served
    project: str
    finished: str
    folder: object
    sign_in: str


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    make_sample(folder / "nuclei", 24)
    command = command_in(folder / "server")
    served = Served.start(command, folder / "nuclei", state=folder / "state", workers=2)
    finished = command.run("start", "nuclei", *served.options).stdout.decode().strip()
    assert command.run("follow", finished, *served.options).status == 0
    with serving() as people:
        yield World(served=served, project="nuclei", finished=finished, folder=folder / "nuclei", sign_in=people.url)
    served.end()


def begin(exportctl, world, command):
    """Start the command of that name and return it; what it needs is made before."""
    exportctl.environment |= {"EXPORTCTL_TOKEN": world.served.token, "EXPORTCTL_SERVER": world.served.url}
    options = ["--ndjson", "--progress", "none"]
    if command in {"follow", "cancel", "resume"}:
        jobs = [exportctl.run("start", "nuclei").stdout.decode().strip() for _ in range(2)]
        options += jobs if command == "cancel" else []
        return exportctl.start(command, *options)
    match command:
        case "run":
            return exportctl.start("run", world.project, "-o", "x.zip", "--limit-rate", "20M", *options)
        case "run here":
            exportctl.parks = True
            del exportctl.environment["EXPORTCTL_SERVER"]
            return exportctl.start("run", world.folder, "-o", "x.zip", "--limit-rate", "20M", *options)
        case "download":
            return exportctl.start("download", world.finished, "-o", "x.zip", "--limit-rate", "10M", *options)
        case "list":
            return exportctl.start("list", "--watch", *options)
        case _:
            exportctl.environment = {"EXPORTCTL_SERVER": world.sign_in}
            reader, writer = os.pipe()
            os.write(writer, PASSWORD.encode())
            os.close(writer)
            process = exportctl.start("login", "--email", EMAIL, "--password-stdin", *options, stdin=reader)
            os.close(reader)
            return process


def interrupt(process, numbers, chance, longest):
    """Let a random part of the command's life pass, which is no wait for something, and send the signals.

    Return those by which it may end: of two that come together the system may hand over either first.
    """
    time.sleep(chance.uniform(0.0, longest))
    if numbers[0] is PIPE:
        process.stdout.close()
        return numbers
    pause = chance.choice([0.0, 0.01, 0.3])
    process.send_signal(numbers[0])
    for number in numbers[1:]:
        time.sleep(pause)
        process.send_signal(number)
    return numbers if pause < TOGETHER else [numbers[0], *(number for number in numbers if number is KILL)]


def check_end(ended, numbers, command):
    """Hold what every end must be, and return the lines."""
    # Python's own, from before the first line of ours is run, is not ours to keep back.
    is_ours = bool(ended.stdout) or "/exportctl/" in ended.stderr
    assert not is_ours or "Traceback" not in ended.stderr, ended.stderr
    if numbers[0] is PIPE:
        assert ended.status in {-PIPE, 0}, ended.stderr
        return []
    lines = [orjson.loads(line) for line in ended.stdout.splitlines() if line.endswith(b"}")]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    if KILL in numbers and ended.status == -KILL:
        return lines
    if not lines:
        assert ended.status in {-number for number in numbers}, "ended before its first line by anything but the signal"
        return []
    results = [line for line in lines if line["event"] == "result"]
    assert lines[-1] is results[-1]
    assert len({line["jobId"] for line in results}) == len(results)
    assert len(results) == 1 or command in {"follow", "cancel", "resume"}
    statuses = {line["exitCode"] for line in results}
    said = 128 - ended.status if ended.status < 0 else ended.status
    assert (128 - ended.status if ended.status < 0 else ended.status) in statuses, (said, statuses)
    assert ended.status in {0, *(-number for number in numbers)}, results
    return lines


def check_left(exportctl):
    """Hold that what lies there is whole or a partial, that the store opens, and that nobody lives on."""
    for path in exportctl.folder.iterdir():
        if not path.name.startswith("."):
            assert zipfile.ZipFile(path).testzip() is None
    state = exportctl.home / ".local/state/exportctl"
    if (state / "jobs.sqlite3").exists():
        with sqlite3.connect(state / "jobs.sqlite3") as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()
    for path in (state / "sessions").glob("*.json"):
        orjson.loads(path.read_bytes())
    until(lambda: not descendants_in(exportctl.home), "every process to be gone", 20)


def check_picked_up(exportctl, lines, command):
    """Hold that whatever was left is finished by `resume`, once."""
    began = [line for line in lines if line["event"] == "export:started"]
    ends = [line for line in lines if line["event"] in {"export:cancelled", "export:failed"}]
    ended = exportctl.run("resume", "--ndjson")
    assert "Traceback" not in ended.stderr
    results = [line for line in ended.lines if line["event"] == "result"]
    # Where a cancellation was on its way the job may have been cancelled.
    assert {line["exitCode"] for line in results} <= {0, 10}, ended.stderr
    was_cancelled = bool(ends) or any(line["exitCode"] == 10 for line in results)
    if command.startswith("run") and began and not was_cancelled:
        assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None
    again = exportctl.run("resume", "--ndjson")
    assert (again.status, again.result["jobId"]) == (0, None), again.stderr
    # An empty lock of a command that was killed before it had a job is left to the next one with this output.
    left = [path for path in exportctl.folder.iterdir() if path.name.startswith(".")]
    assert [path for path in left if path.name != ".x.zip.lock" or path.stat().st_size] == []


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_whatever_the_moment_all_ends_well(exportctl, world, seed):
    chance = random.Random(seed)
    command = COMMANDS[seed % len(COMMANDS)]
    numbers = chance.choice(SIGNALS)
    with begin(exportctl, world, command) as process:
        numbers = interrupt(process, numbers, chance, LONGEST.get(command, OTHERS_LONGEST))
        if numbers[0] is PIPE:
            stderr = process.stderr.read().decode()
            ended = Ended(status=process.wait(), stdout=b"", stderr=stderr)
        else:
            ended = end_of(process, 30, f"{command}, {[number.name for number in numbers]}, seed {seed}")
    lines = check_end(ended, numbers, command)
    check_left(exportctl)
    if command not in {"list", "login"}:
        check_picked_up(exportctl, lines, command)
