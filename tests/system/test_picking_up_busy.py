"""A server that allows one export at a time: fail, wait for room, or join the job that takes it (`--if-busy`)."""

import signal
import zipfile

import orjson
import pytest

from exportctl.server.export.sample import make_sample
from system.processes import until


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("busy") / "cells"
    make_sample(folder, 150)
    return folder


@pytest.fixture
def busy(exportctl, cells):
    """A server with room for one job, and that job running."""
    process = exportctl.start(
        "serve", cells, "--port", 0, "--token", "t", "--state", exportctl.home / "served", "--jobs-per-user", 1
    )
    url = process.stdout.readline().decode().strip()
    options = ["--server", url, "--token", "t"]
    job = exportctl.run("start", "cells", *options, "--no-state").stdout.decode().strip()
    yield options, job
    process.send_signal(signal.SIGTERM)
    process.communicate()


def test_a_busy_server_is_status_9(exportctl, busy):
    options, _ = busy
    ended = exportctl.run("run", "cells", *options, "--ndjson")
    assert (ended.status, ended.result["exitCode"]) == (9, 9)


def test_waiting_gets_the_place_that_becomes_free(exportctl, busy):
    options, job = busy
    with exportctl.start("run", "cells", *options, "--ndjson", "--if-busy", "wait") as run:
        until(lambda: orjson.loads(run.stdout.readline()).get("code") == "busy-waiting", "the command to wait")
        assert exportctl.run("cancel", job, *options).status == 0
        rest, stderr = run.communicate()
    result = orjson.loads(rest.splitlines()[-1])
    assert (run.returncode, result["outcome"]) == (0, "completed"), stderr
    assert result["jobId"] != job.split("/")[1]


def test_a_signal_while_it_waits_leaves_nothing(exportctl, busy):
    options, _ = busy
    with exportctl.start("run", "cells", *options, "--ndjson", "--if-busy", "wait") as run:
        until(lambda: orjson.loads(run.stdout.readline()).get("code") == "busy-waiting", "the command to wait")
        run.send_signal(signal.SIGINT)
        rest, _ = run.communicate()
    result = orjson.loads(rest.splitlines()[-1])
    assert (run.returncode, result["jobId"]) == (-signal.SIGINT, None)


def test_joining_follows_the_job_of_the_same_options_to_its_file(exportctl, busy):
    options, job = busy
    ended = exportctl.run("run", "cells", *options, "--ndjson", "--if-busy", "join")
    assert ended.status == 0, ended.stderr
    assert ended.result["jobId"] == job.split("/")[1]
    assert zipfile.ZipFile(ended.result["file"]).testzip() is None


def test_a_job_of_other_options_is_not_joined(exportctl, busy):
    options, _ = busy
    assert exportctl.run("run", "cells", *options, "--no-docs", "--if-busy", "join").status == 9
