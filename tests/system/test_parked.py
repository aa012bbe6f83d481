"""Jobs of the embedded server that their command has left: parked in the state folder, and picked up from anywhere."""

import os
import signal
import sqlite3
import zipfile

import orjson
import pytest

from exportctl.server.export.sample import make_sample
from system.processes import children_of, descendants_in, lines_until, until

RUN = ["run", "sample", "-o", "x.zip", "--ndjson", "--progress", "none", "--sample-size"]
LONG = [*RUN, "100"]
ENDLESS = [*RUN, "800"]
"""What no test waits for the end of."""


def leave(exportctl, how, *, at="export:progress"):
    """Run an export on this machine, have it left or killed at that moment; return its job."""
    exportctl.parks = True
    more = ["--on-interrupt", "detach"] if how is signal.SIGINT else []
    with exportctl.start(*LONG, *more) as run:
        job = lines_until(run, at)[-1]["jobId"]
        if how == "its server":
            os.kill(children_of(run.pid)[0], signal.SIGKILL)
        else:
            run.send_signal(how)
        _, stderr = run.communicate()
    until(lambda: not descendants_in(exportctl.home), "the server to be gone")
    return job, run.returncode, stderr.decode()


def rows(exportctl):
    return [line for line in exportctl.run("list", "--ndjson").lines if line["event"] == "job"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, "its server"])
def test_what_was_left_is_parked_and_finished_from_another_folder(exportctl, how):
    job, status, stderr = leave(exportctl, how)
    assert status == (7 if how == "its server" else -how)
    assert how is signal.SIGKILL or "exportctl resume" in stderr
    [row] = rows(exportctl)
    assert (row["jobId"], row["status"]) == (job, "parked")
    begun_in, exportctl.folder = exportctl.folder, exportctl.home
    ended = exportctl.run("resume", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert (ended.result["jobId"], ended.result["file"]) == (job, str(begun_in / "x.zip"))
    assert zipfile.ZipFile(begun_in / "x.zip").testzip() is None
    assert exportctl.parked == []


def test_a_parked_job_can_be_cancelled_and_frees_its_disk(exportctl):
    job, status, _ = leave(exportctl, signal.SIGHUP)
    assert status == -signal.SIGHUP
    ended = exportctl.run("cancel", "@last", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert (ended.result["jobId"], ended.result["outcome"]) == (job, "cancelled")
    assert exportctl.parked == []


def test_two_commands_at_once_share_one_server(exportctl):
    leave(exportctl, signal.SIGKILL)
    processes = [exportctl.start("resume", "--ndjson", "--progress", "none") for _ in range(3)]
    for process in processes:
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
        assert orjson.loads(stdout.splitlines()[-1])["exitCode"] == 0
    assert [path.name for path in exportctl.folder.iterdir()] == ["x.zip"]
    assert exportctl.parked == []


def test_another_terminal_reaches_the_server_of_the_one_that_runs(exportctl):
    with exportctl.start(*ENDLESS) as run:
        job = lines_until(run, "export:progress")[-1]["jobId"]
        assert exportctl.run("status", job, "--ndjson").lines[1]["jobId"] == job
        ended = exportctl.run("cancel", job, "--ndjson")
        assert (ended.status, ended.result["outcome"]) == (0, "cancelled"), ended.stderr
        stdout, _ = run.communicate()
    result = orjson.loads(stdout.splitlines()[-1])
    assert (run.returncode, result["outcome"]) == (10, "cancelled")


def test_a_job_goes_on_for_whoever_follows_it_when_the_first_command_leaves(exportctl):
    with exportctl.start(*RUN, "300", "--on-interrupt", "detach") as run:
        job = lines_until(run, "export:progress")[-1]["jobId"]
        with exportctl.start("follow", job, "--ndjson", "--progress", "none") as follow:
            lines_until(follow, "export:progress")
            run.send_signal(signal.SIGINT)
            run.communicate()
            assert run.returncode == -signal.SIGINT
            stdout, stderr = follow.communicate()
    assert follow.returncode == 0, stderr
    assert orjson.loads(stdout.splitlines()[-1])["outcome"] == "completed"
    ended = exportctl.run("resume", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None
    assert exportctl.parked == []


def test_a_download_that_was_killed_goes_on_from_the_last_byte(exportctl):
    exportctl.parks = True
    with exportctl.start(*RUN, "60", "--limit-rate", "8M") as run:
        until(lambda: (orjson.loads(run.stdout.readline()).get("bytes") or 0) > 4_000_000, "some megabytes")
        run.kill()
        run.communicate()
    until(lambda: not descendants_in(exportctl.home), "the server to be gone")
    ended = exportctl.run("resume", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert ended.result["stats"]["resumedFrom"] > 1_000_000
    assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None
    assert exportctl.parked == []


@pytest.mark.parametrize("options", [["--no-state"], []])
def test_nothing_can_be_detached_where_nothing_is_kept(exportctl, options):
    if not options:
        exportctl.environment["EXPORTCTL_STATE"] = "off"
    ended = exportctl.run("run", "sample", "--on-interrupt", "detach", *options, "--ndjson")
    assert (ended.status, ended.result["exitCode"]) == (2, 2)
    assert "exportctl serve" in ended.stderr


def test_what_no_job_is_known_of_frees_its_disk(exportctl):
    exportctl.parks = True
    leave(exportctl, signal.SIGKILL)
    assert len(exportctl.parked) == 1
    with sqlite3.connect(exportctl.home / ".local/state/exportctl/jobs.sqlite3") as store:
        store.execute("DELETE FROM job")
    store.close()
    assert exportctl.run("resume").status == 0
    assert exportctl.parked == []


def test_a_parked_job_whose_images_are_gone_can_still_be_let_go(exportctl):
    exportctl.parks = True
    images = exportctl.folder / "images"
    make_sample(images, 60)
    with exportctl.start("run", images, "-o", "x.zip", "--ndjson", "--progress", "none") as run:
        lines_until(run, "export:started")
        run.kill()
        run.communicate()
    until(lambda: not descendants_in(exportctl.home), "the server to be gone")
    images.rename(exportctl.folder / "elsewhere")
    ended = exportctl.run("cancel", "@last", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert exportctl.parked == []
