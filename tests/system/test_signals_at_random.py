"""Signals at random instants: whatever the moment, the right status, one `result`, no orphan, no torn file, a job that
can be picked up. `EXPORTCTL_TEST_SIGNALS=N` runs each case N times, `EXPORTCTL_TEST_SEED` begins at
another seed; a failure names its own.
"""

import os
import random
import signal
import sqlite3
import time
import zipfile

import orjson
import pytest

from system.processes import descendants_in, until

RUNS = int(os.environ.get("EXPORTCTL_TEST_SIGNALS", "2"))
SEED = int(os.environ.get("EXPORTCTL_TEST_SEED", "20261124"))
LONGEST = 3.0
"""Seconds from a command's start to the signal, at most: start-up, processing and download all lie within."""


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    from exportctl.server.export.sample import make_sample  # noqa: PLC0415 - needs the image libraries

    folder = tmp_path_factory.mktemp("signals") / "nuclei"
    make_sample(folder, 24)
    return folder


def cases(*numbers):
    return pytest.mark.parametrize(
        ("number", "seed"),
        [(number, SEED + run) for number in numbers for run in range(RUNS)],
        ids=lambda value: value.name if isinstance(value, signal.Signals) else f"seed{value}",
    )


def after(process, seed, *, longest=LONGEST):
    """Let a random part of the command's life pass; it is no wait for something, and any instant is right."""
    time.sleep(random.Random(seed).uniform(0.0, longest))
    return process.poll() is None


def check_end(process, stdout, stderr, number):
    """Hold what every end but SIGKILL must be, and return the result line, None where the command had not begun."""
    assert b"Traceback" not in stderr, stderr.decode()
    lines = [orjson.loads(line) for line in stdout.splitlines()]
    if not lines:
        assert process.returncode == -number, "ended before its first line by anything but the signal"
        return None
    results = [line for line in lines if line["event"] == "result"]
    assert len(results) == 1
    assert lines[-1] is results[0]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    status = results[0]["exitCode"]
    assert process.returncode == (128 - status if status > 128 else status)
    return results[0]


def check_files(folder):
    """Hold that what lies there is whole, or is a partial."""
    for path in folder.iterdir():
        if not path.name.startswith("."):
            assert zipfile.ZipFile(path).testzip() is None


def check_store(exportctl):
    path = exportctl.home / ".local/state/exportctl/jobs.sqlite3"
    if path.exists():
        with sqlite3.connect(path) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()


@cases(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
def test_a_run_on_a_server_ends_as_it_should(exportctl, serve, nuclei, number, seed):
    served = serve(nuclei)
    with exportctl.start("run", "nuclei", *served.options, "-o", "x.zip", "--ndjson", "--limit-rate", "3M") as run:
        if after(run, seed):
            run.send_signal(number)
        stdout, stderr = run.communicate()
    result = check_end(run, stdout, stderr, number)
    check_files(exportctl.folder)
    check_store(exportctl)
    if result is not None and result["outcome"] == "detached":
        assert b"Left." in stderr
    ended = exportctl.run("resume", *served.options, "--ndjson")
    assert ended.status == 0, ended.stderr
    if result is not None and result["outcome"] in {"detached", "completed"}:
        assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None


@cases(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
def test_a_run_on_this_machine_leaves_no_process(exportctl, nuclei, number, seed):
    exportctl.parks = True
    with exportctl.start("run", nuclei, "-o", "x.zip", "--ndjson") as run:
        if after(run, seed):
            run.send_signal(number)
        stdout, stderr = run.communicate()
    check_end(run, stdout, stderr, number)
    check_files(exportctl.folder)
    until(lambda: not descendants_in(exportctl.home), "the embedded server to be gone", 15)


@cases(signal.SIGKILL)
def test_a_killed_run_can_be_picked_up(exportctl, serve, nuclei, number, seed):
    served = serve(nuclei)
    with exportctl.start("run", "nuclei", *served.options, "-o", "x.zip", "--ndjson", "--limit-rate", "3M") as run:
        if after(run, seed):
            run.send_signal(number)
        stdout, _ = run.communicate()
    lines = [orjson.loads(line) for line in stdout.splitlines()]
    check_files(exportctl.folder)
    check_store(exportctl)
    ended = exportctl.run("resume", *served.options, "--ndjson")
    assert ended.status == 0, ended.stderr
    if any(line["event"] == "export:started" for line in lines):
        assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None


@cases(signal.SIGINT, signal.SIGTERM)
def test_two_signals_leave_at_once(exportctl, serve, nuclei, number, seed):
    served = serve(nuclei)
    with exportctl.start("run", "nuclei", *served.options, "-o", "x.zip", "--ndjson") as run:
        if after(run, seed):
            run.send_signal(number)
            run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=10)
    assert b"Traceback" not in stderr
    lines = [orjson.loads(line) for line in stdout.splitlines()]
    assert [line["event"] for line in lines].count("result") == bool(lines)
