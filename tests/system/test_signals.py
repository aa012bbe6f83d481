"""Ends from outside: signals, closed pipes, a killed command. Nothing is left, whatever the moment."""

import os
import signal

import orjson
import pytest

from system.processes import children_of, descendants_in, lines_until, until

LONG = ["run", "sample", "--sample-size", "600", "-o", "out.zip", "--ndjson", "--progress", "none"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["hello", "connection:changed", "export:started", "export:progress"])
def test_the_first_signal_cancels_and_the_command_ends_by_it(exportctl, number, moment):
    with exportctl.start(*LONG) as process:
        lines = lines_until(process, moment)
        process.send_signal(number)
        rest, stderr = process.communicate()
    lines += [orjson.loads(text) for text in rest.splitlines()]
    assert process.returncode == -number
    assert b"Traceback" not in stderr
    result = lines[-1]
    assert result["event"] == "result"
    assert (result["outcome"], result["exitCode"]) == ("cancelled", 128 + number)
    if result["jobId"] is not None:
        [cancelled] = [line for line in lines if line["event"] == "export:cancelled"]
        assert cancelled["cleanupCompleted"] is True
    assert list(exportctl.folder.iterdir()) == []


def test_a_second_signal_leaves_at_once(exportctl):
    exportctl.parks = True
    with exportctl.start(*LONG, "--progress", "plain") as process:
        lines_until(process, "export:progress")
        process.send_signal(signal.SIGINT)
        until(lambda: b"Cancelling" in process.stderr.readline(), "the first signal to be seen")
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert orjson.loads(rest.splitlines()[-1])["event"] == "result"


def test_a_killed_command_leaves_no_process_behind(exportctl):
    exportctl.parks = True
    with exportctl.start(*LONG) as process:
        lines_until(process, "export:progress")
        assert len(descendants_in(exportctl.home)) > 1
        process.kill()
    until(lambda: not descendants_in(exportctl.home), "the server and its workers to end")


def test_a_closed_pipe_ends_the_command_quietly(exportctl):
    exportctl.parks = True
    with exportctl.start(*LONG) as process:
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
    assert process.returncode == -signal.SIGPIPE
    assert stderr == b""


def test_the_server_that_dies_is_told(exportctl):
    exportctl.parks = True
    with exportctl.start(*LONG) as process:
        lines_until(process, "export:progress")
        [child] = children_of(process.pid)
        os.kill(child, signal.SIGKILL)
        rest, stderr = process.communicate()
    assert process.returncode == 7
    assert b"embedded server" in stderr
    assert orjson.loads(rest.splitlines()[-1])["error"]["code"] == "SERVER_DIED"
