"""`list --watch`: what one terminal does, the others show."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import orjson
import pytest

from exportctl.server.export.sample import make_sample
from system.processes import until


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched") / "slow"
    make_sample(folder, 400)  # it runs for as long as it is looked for
    return folder


@pytest.fixture
def here(exportctl, serve, slow):
    served = serve(slow)
    exportctl.environment |= {"EXPORTCTL_SERVER": served.url, "EXPORTCTL_TOKEN": served.token}
    return exportctl


def rows_until(process, job, status):
    """Read the `job` lines of that job up to the one of that status."""
    seen = []
    for text in process.stdout:
        line = orjson.loads(text)
        if line["event"] == "job" and line["jobId"] == job:
            seen.append(line["status"])
            if status in seen:
                return seen
    raise AssertionError((seen, process.stderr.read()))


@pytest.mark.parametrize("of", [[], ["slow"]])
def test_what_is_begun_and_cancelled_elsewhere_is_a_line_each(here, of):
    with here.start("list", *of, "--watch", "--ndjson") as watch:
        until(lambda: b"hello" in watch.stdout.readline(), "the watch to begin")
        # Of a project the server's word is shown, whoever began the job; else what this machine knows.
        more = ["--no-state"] if of else []
        project, job = here.run("start", "slow", *more).stdout.decode().strip().split("/")
        cancelled = here.run("cancel", f"{project}/{job}", *more)
        assert cancelled.status == 0, cancelled.stderr
        assert rows_until(watch, job, "cancelled")[-1] == "cancelled"
        watch.send_signal(signal.SIGINT)
        stdout, stderr = watch.communicate()
    assert (watch.returncode, stderr) == (-signal.SIGINT, b"")
    assert orjson.loads(stdout.splitlines()[-1])["exitCode"] == 130


def test_a_pipe_gets_a_row_for_each_change_and_its_end_ends_the_watch(here):
    job = here.run("start", "slow").stdout.decode().strip()
    with here.start("list", "--watch") as watch:
        assert job in watch.stdout.readline().decode()
        here.run("cancel", job)
        until(lambda: "cancelled" in watch.stdout.readline().decode(), "the row to change")
        watch.stdout.close()
        stderr = watch.stderr.read()
    assert (watch.returncode, stderr) == (-signal.SIGPIPE, b"")


def test_a_terminal_shows_one_table_in_place_within_its_window(here):
    for _ in range(4):
        job = here.run("start", "slow").stdout.decode().strip()
        here.run("cancel", job)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 4, 100, 0, 0))
    before = termios.tcgetattr(theirs)
    here.environment["TERM"] = "xterm"
    os.set_blocking(ours, False)
    shown = b""

    def shows(words):
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            shown += os.read(ours, 65536)
        return words in shown

    with here.start("list", "--watch", stdout=theirs, stderr=subprocess.PIPE) as watch:
        until(lambda: shows("… 3 more".encode()), "the table, cut to the window")
        job = here.run("start", "slow").stdout.decode().strip()
        until(lambda: shows(b"pending") or shows(b"processing"), "the new job")
        here.run("cancel", job)
        watch.send_signal(signal.SIGINT)
        _, stderr = watch.communicate()
    assert (watch.returncode, stderr) == (-signal.SIGINT, b"")
    assert termios.tcgetattr(theirs) == before
    drawings = shown.decode().split("\x1b[J")[1:]
    assert len(drawings) >= 2
    assert all(drawing.split("\x1b[")[0].count("\n") == 3 for drawing in drawings)
    assert re.search(r"\x1b\[3F$", "\x1b[J".join(drawings[:-1]))  # each begins where the one before began
    os.close(ours)
    os.close(theirs)
