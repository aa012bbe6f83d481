"""What each signal does to a job (`CLI.md`, Signals), against a server that it outlives."""

import os
import pty
import signal
import termios
from pathlib import Path

import orjson
import pytest

from system.processes import lines_until, until


def run_slow(exportctl, served, *more, **options):
    return exportctl.start(
        "run", "slow", *served.options, "-o", "x.zip", "--ndjson", "--progress", "none", *more, **options
    )


def end_of(process):
    stdout, stderr = process.communicate()
    return orjson.loads(stdout.splitlines()[-1]), stderr.decode()


def status_of(exportctl, served, job):
    ended = exportctl.run("status", job, *served.options, "--ndjson")
    return next(line for line in ended.lines if line["event"] == "job")["status"]


def test_the_first_ctrl_c_is_answered_at_once_and_cancels(exportctl, serve, slow):
    served = serve(slow)
    with run_slow(exportctl, served) as run:
        lines_until(run, "export:progress")
        run.send_signal(signal.SIGINT)
        assert "Cancelling" in run.stderr.readline().decode()
        result, _ = end_of(run)
    assert (run.returncode, result["outcome"], result["exitCode"]) == (-signal.SIGINT, "cancelled", 130)
    assert list(exportctl.folder.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGHUP, "detach"])
def test_hangup_and_detach_leave_the_job_running_and_say_how_to_come_back(exportctl, serve, slow, how):
    served = serve(slow)
    more = ["--on-interrupt", "detach"] if how == "detach" else []
    number = signal.SIGINT if how == "detach" else how
    with run_slow(exportctl, served, *more) as run:
        job = lines_until(run, "export:progress")[-1]["jobId"]
        run.send_signal(number)
        result, stderr = end_of(run)
    assert (run.returncode, result["outcome"], result["exitCode"]) == (-number, "detached", 128 + number)
    assert f"exportctl follow {result['projectId']}/{job}" in stderr
    assert status_of(exportctl, served, job) == "processing"
    exportctl.run("cancel", job, *served.options)


def test_a_second_signal_says_that_the_cancellation_may_take_effect(exportctl, serve, slow):
    served = serve(slow)
    with run_slow(exportctl, served) as run:
        lines_until(run, "export:progress")
        served.process.send_signal(signal.SIGSTOP)  # a server that does not answer
        try:
            run.send_signal(signal.SIGINT)
            assert "Cancelling" in run.stderr.readline().decode()
            run.send_signal(signal.SIGINT)
            result, stderr = end_of(run)
        finally:
            served.process.send_signal(signal.SIGCONT)
    assert (run.returncode, result["outcome"]) == (-signal.SIGINT, "detached")
    assert "The cancellation was sent" in stderr


def test_sigterm_leaves_though_the_server_is_mute(exportctl, serve, slow):
    served = serve(slow)
    with run_slow(exportctl, served) as run:
        lines_until(run, "export:progress")
        served.process.send_signal(signal.SIGSTOP)
        try:
            run.send_signal(signal.SIGTERM)
            result, _ = end_of(run)
        finally:
            served.process.send_signal(signal.SIGCONT)
    assert (run.returncode, result["outcome"], result["exitCode"]) == (-signal.SIGTERM, "detached", 143)


@pytest.mark.parametrize("progress", ["plain", "none"])
def test_sigusr1_is_answered_with_one_line_whatever_is_shown(exportctl, serve, slow, progress):
    served = serve(slow)
    with run_slow(exportctl, served, "--progress", progress) as run:
        lines_until(run, "export:progress")
        os.set_blocking(run.stderr.fileno(), False)
        run.stderr.read()
        run.send_signal(signal.SIGUSR1)
        said = until(run.stderr.read, "a line about the job")
        assert said.endswith(b"\n")
        run.send_signal(signal.SIGINT)
        run.communicate()


def test_ctrl_z_and_fg_let_the_job_be_followed_to_its_end(exportctl, serve, slow):
    served = serve(slow)
    # A group of its own, as a shell gives each job: in an orphaned group, whose leader's session has no one to say
    # `fg`, the kernel drops SIGTSTP (POSIX, Orphaned Process Group), and the tests' own group may be one.
    with run_slow(exportctl, served, process_group=0) as run:
        lines_until(run, "export:progress")
        run.send_signal(signal.SIGTSTP)
        until(lambda: Path(f"/proc/{run.pid}/stat").read_text().split(") ")[1][0] == "T", "the command to stop")
        run.send_signal(signal.SIGCONT)
        result, _ = end_of(run)
    assert (run.returncode, result["outcome"]) == (0, "completed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_terminal_is_left_as_it_was_found(exportctl, serve, slow, number):
    served = serve(slow)
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with run_slow(exportctl, served, "--progress", "bars", stderr=theirs) as run:
        lines_until(run, "export:progress")
        run.send_signal(number)
        run.communicate()
    assert termios.tcgetattr(theirs) == before
    shown = b""
    os.set_blocking(ours, False)
    try:
        while block := os.read(ours, 65536):
            shown += block
    except BlockingIOError:
        pass
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h")  # a hidden cursor is shown again
    assert shown.endswith(b"\n")
    os.close(ours)
    os.close(theirs)


def test_a_terminal_that_went_away_is_no_crash(exportctl, serve, slow):
    served = serve(slow)
    ours, theirs = pty.openpty()
    with run_slow(exportctl, served, "--progress", "bars", stderr=theirs) as run:
        os.close(theirs)
        job = lines_until(run, "export:progress")[-1]["jobId"]
        os.close(ours)
        run.send_signal(signal.SIGHUP)
        stdout, _ = run.communicate()
    assert run.returncode == -signal.SIGHUP
    assert orjson.loads(stdout.splitlines()[-1])["outcome"] == "detached"
    exportctl.run("cancel", job, *served.options)
