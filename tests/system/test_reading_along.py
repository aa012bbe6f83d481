"""The archive fetched while it is made, as a user sees it: the real command, a real server, a job that stands still."""

import hashlib
import io
import os
import signal
import zipfile

import orjson
import pytest

from server.conftest import write_images
from system.processes import Served, end_of, until
from system.proxy import Cut, Proxy

DRAWN = ["--no-images", "--ndjson", "--progress", "none"]
DIFFERS = {"seq", "elapsed", "source", "correlationId"}


@pytest.fixture
def cells(tmp_path):
    return write_images(tmp_path / "cells", 30, size=200)


class Run:
    """A `run` whose job stands still at its last image, with bytes of the archive on disk here."""

    def __init__(self, exportctl, served, *options):
        self.command = exportctl
        self.events = exportctl.folder / "events.ndjson"
        words = ["run", "cells", *served.options, *DRAWN[:1], "--events", self.events, *options]
        self.process = exportctl.start(*words)
        until(lambda: self.has("export:started"), "the job to start")
        [parts] = (exportctl.home / "served").glob("jobs/*/work-1/parts")
        self.last = parts / "overlay-29.png"  # is looked for before it is drawn
        os.mkfifo(self.last)

    def lines(self):
        text = self.events.read_bytes() if self.events.exists() else b""
        return [orjson.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def has(self, event, phase=None):
        return any(line["event"] == event and line.get("phase", phase) == phase for line in self.lines())

    def until_bytes(self):
        until(lambda: self.has("export:progress", "downloading"), "bytes to come while images are made")
        return self

    def go(self):
        self.last.write_bytes(b"")  # whoever reads it finds no overlay, and draws one

    def end(self):
        return end_of(self.process, 60, "the rest")

    @property
    def job(self):
        line = next(line for line in self.lines() if line["event"] == "export:started")
        return f"{line['projectId']}/{line['jobId']}"

    def left(self):
        paths = self.command.folder.iterdir()  # the lock of the output has its own tests
        return sorted(path.name for path in paths if path != self.events and path.suffix != ".lock")


@pytest.fixture
def served(serve, cells):
    return serve(cells, "--workers", 1)


def story(lines):
    return [{key: line[key] for key in line if key not in DIFFERS} for line in lines if "serverSeq" in line]


def test_bytes_come_between_the_lines_of_processing_which_are_those_of_any_run(exportctl, served):
    run = Run(exportctl, served, "-o", "it.zip").until_bytes()
    early = [line for line in run.lines() if line.get("phase") == "downloading"]
    assert all((line["totalBytes"], line["progress"]) == (None, None) and line["bytes"] > 0 for line in early)
    run.go()
    assert run.end().status == 0
    lines = run.lines()
    result = lines[-1]
    assert (result["event"], result["verified"], result["bytes"]) == (
        "result",
        True,
        (exportctl.folder / "it.zip").stat().st_size,
    )
    assert lines[-2]["progress"] == 100
    assert not any(line["event"] == "log" for line in lines)
    told = exportctl.run("follow", run.job, *served.options, "--ndjson").lines
    assert story(lines) == story(told)
    assert run.left() == ["it.zip"]


@pytest.mark.parametrize("way", ["cancel", "fail"])
def test_a_job_that_ends_badly_takes_what_was_fetched_along(exportctl, served, way):
    run = Run(exportctl, served, "-o", "it.zip").until_bytes()
    assert len(run.left()) == 2
    if way == "cancel":
        run.process.send_signal(signal.SIGINT)
        assert run.end().status == -signal.SIGINT
        assert run.lines()[-1]["outcome"] == "cancelled"
    else:
        assert exportctl.run("cancel", run.job, *served.options).status == 0
        assert run.end().status == 10
    assert run.left() == []


def test_a_killed_command_is_gone_on_with_while_the_job_still_runs(exportctl, served):
    run = Run(exportctl, served, "-o", "it.zip").until_bytes()
    run.process.kill()
    run.process.communicate()
    [partial, _] = run.left()
    size = (exportctl.folder / partial).stat().st_size
    again = exportctl.start("resume", "--ndjson", "--token", served.token)
    until(lambda: b"download-resumed" in again.stdout.readline(), "it to go on")
    run.go()
    ended = end_of(again, 60, "resume")
    result = orjson.loads(ended.stdout.splitlines()[-1])
    assert (ended.status, result["stats"]["resumedFrom"]) == (0, size)
    assert run.left() == ["it.zip"]


def test_a_connection_that_breaks_is_read_on(exportctl, served):
    with Proxy(served.url) as proxy:
        served.url = proxy.url
        run = Run(exportctl, served, "-o", "it.zip").until_bytes()
        proxy.do(Cut(by="reset"))
        until(lambda: run.has("log"), "the break to be told")
        run.go()
        assert run.end().status == 0
    assert {line["code"] for line in run.lines() if line["event"] == "log"} == {"download-interrupted"}
    assert hashlib.sha256((exportctl.folder / "it.zip").read_bytes()).hexdigest() == run.lines()[-1]["sha256"]


def test_a_pipe_has_bytes_before_the_job_ends(exportctl, served):
    run = Run(exportctl, served, "-o", "-")
    first = os.read(run.process.stdout.fileno(), 4)
    assert not run.has("export:completed")
    run.go()
    ended = run.end()
    assert ended.status == 0
    assert zipfile.ZipFile(io.BytesIO(first + ended.stdout)).testzip() is None


def test_a_pipe_that_got_bytes_of_another_making_is_status_8_and_the_job_goes_on(exportctl, cells):
    state = exportctl.home / "served"
    served = Served.start(exportctl, cells, state=state)
    run = Run(exportctl, served, "-o", "-")
    assert os.read(run.process.stdout.fileno(), 4) == b"PK\3\4"
    served.end(signal.SIGKILL)
    for ledger in state.glob("jobs/*/ledger"):
        ledger.unlink()  # so that nobody knows what of the archive is right
    run.last.unlink()
    served = Served.start(exportctl, cells, state=state, port=served.port)
    try:
        ended = run.end()
        error = run.lines()[-1]["error"]
        assert (ended.status, error["code"]) == (8, "BEGUN_ANEW")
        assert run.job in error["hint"]
        assert exportctl.run("follow", run.job, *served.options).status == 0
        assert exportctl.run("download", run.job, *served.options, "-o", "it.zip").status == 0
    finally:
        served.end()


def test_entries_of_an_archive_read_along_are_extracted(exportctl, served):
    run = Run(exportctl, served, "--extract", "there").until_bytes()
    run.go()
    assert run.end().status == 0
    assert run.left() == ["there"]
    assert (exportctl.folder / "there" / "README.md").is_file()


def test_no_live_waits_until_the_archive_is_whole(exportctl, served):
    run = Run(exportctl, served, "-o", "it.zip", "--no-live")
    until(lambda: sum(line["event"] == "export:progress" for line in run.lines()) > 2, "images to be made")
    assert not run.has("export:progress", "downloading")
    assert run.left() == []
    run.go()
    assert run.end().status == 0
    events = [line["event"] for line in run.lines() if line.get("phase") != "processing"]
    assert events.index("export:completed") < events.index("export:progress")
