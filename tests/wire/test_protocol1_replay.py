"""Recorded exports replayed through the real command: each tells one story, in protocol 2's order, to the right end."""

import os

import pytest

from system.processes import Command
from wire.server1 import HOLD, IS_RECORDED, Server1, exports_of, serving, transcript

pytestmark = pytest.mark.skipif(not IS_RECORDED, reason="no recorded transcripts beside the checkout")

COMPLETED = [("small_export", at) for at in (0, 1, 3, 4)] + [("edge", at) for at in (0, 1, 2, 3, 8, 13)]
COMPLETED += [("busy", 1), ("busy", 2), ("polling_transport", 0), ("polling_transport", 1), ("polling_transport", 3)]
COMPLETED += [("full_export", 0), ("operation_cancel", 0)]
PACED = [
    ("small_export", 0),
    ("small_export", 3),
    ("edge", 2),
    ("busy", 2),
    ("polling_transport", 1),
    ("full_export", 0),
]
"""At their own pace too."""


@pytest.fixture
def exportctl(tmp_path):
    (tmp_path / "home").mkdir()
    command = Command(folder=tmp_path, home=tmp_path / "home")
    command.environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    return command


def run(exportctl, server, *options):
    title = server.titles[server.exports[0].project_id]
    return exportctl.run("run", title, "--server", server.url, "--ndjson", "--no-state", "-o", "e.zip", *options)


def told(ended):
    """The job's own lines; how it stands is said whenever a connection is new."""
    lines = [line for line in ended.lines if line["event"].startswith("export:") and line.get("phase") != "downloading"]
    return [line for line in lines if line["event"] != "export:status-sync"]


def check_story(ended, export):
    """What holds for every export, whatever was recorded of it."""
    lines = told(ended)
    assert lines[0]["event"] == "export:started"
    assert [line["event"] for line in lines].count("export:started") == 1
    assert {line["jobId"] for line in lines} == {export.job_id}
    progress = [line["progress"] for line in lines if line["event"] == "export:progress"]
    assert progress == sorted(progress)
    assert all(round(one, 2) == one for one in progress)
    steps = [line for line in lines if line["event"] == "export:progress"]
    assert {line["phase"] for line in steps} <= {"processing"}
    assert all("%" not in line["message"] for line in steps)
    assert {line["protocol"] for line in ended.lines if line["event"] == "connection:changed"} == {1}
    return lines


@pytest.mark.parametrize(("scenario", "at", "pace"), [(*one, 0) for one in COMPLETED] + [(*one, 1) for one in PACED])
def test_a_recorded_export_is_followed_downloaded_and_verified(exportctl, scenario, at, pace):
    export = exports_of(scenario)[at]
    if pace and export.steps[-1][0] > 5 and export.steps[-1][1] != HOLD:
        pace = 3 / export.steps[-1][0]  # a minute is no test; the waits stay in proportion
    with serving(Server1([export], pace=pace)) as server:
        ended = run(exportctl, server)
    assert ended.status == 0, ended.stderr
    lines = check_story(ended, export)
    assert [line["event"] for line in lines[-3:]] == [
        "export:phase-changed",
        "export:download-ready",
        "export:completed",
    ]
    assert [line["source"] for line in lines[-3:-1]] == ["client", "client"]
    ready = lines[-2]
    assert (ready["fileSize"], ready["sha256"]) == (len(server.body), None)
    assert ready["fileName"] == f"export_{export.job_id}.zip"
    recorded = [data for name, data in export.events() if name == "export:progress"]
    steps = [line for line in lines if line["event"] == "export:progress" and line["source"] == "socket"]
    assert len(steps) == len(recorded)
    stages = {one["stage"] for one in recorded if "stage" in one and one["phase"] == "processing"}
    assert {line["stage"] for line in steps if line["stage"]} == stages | {"compression"}
    assert steps[-1]["stage"] == "compression"
    warnings = export.events()[-1][1]["warnings"]
    assert ended.result["warnings"] == lines[-1]["warnings"] == warnings
    assert ended.result["verified"] is True
    assert ended.result["outcome"] == "completed"
    assert server.count("/export") == 1


@pytest.mark.parametrize("at", [7, 9])
@pytest.mark.parametrize("pace", [0, 1], ids=["at once", "at its own pace"])
def test_a_recorded_failure_is_told_once_in_one_line_without_the_servers_folders(exportctl, at, pace):
    export = exports_of("edge")[at]
    with serving(Server1([export], pace=pace)) as server:
        ended = run(exportctl, server)
    assert ended.status == 3
    lines = check_story(ended, export)
    assert [line["event"] for line in lines].count("export:failed") == 1
    error = lines[-1]["error"]
    assert error.startswith("Invalid `prisma" if at == 7 else 'The "path" argument')
    assert "\n" not in error
    assert "/srv" not in ended.stderr
    assert ended.result["outcome"] == "failed"


@pytest.mark.parametrize(("scenario", "at"), [("cancel_socket", 0), ("busy", 0), ("polling_transport", 2)])
def test_a_recorded_cancellation_by_someone_else_ends_as_cancelled(exportctl, scenario, at):
    export = exports_of(scenario)[at]
    export.steps = [step for step in export.steps if step[1] != HOLD]
    with serving(Server1([export])) as server:
        ended = run(exportctl, server)
    assert ended.status == 10
    lines = check_story(ended, export)
    assert lines[-1]["event"] == "export:cancelled"
    assert lines[-1]["cancelledBy"] == "user"
    assert lines[-1]["cleanupCompleted"] is True  # the server's claim, told as it made it
    assert "export:failed" not in {line["event"] for line in lines}
    assert ended.result["outcome"] == "cancelled"


def test_a_recorded_export_is_followed_without_any_socket(exportctl):
    export = exports_of("small_export")[3]
    with serving(Server1([export], pace=1, takes_sockets=False)) as server:
        ended = run(exportctl, server, "--poll-interval", "0.1")
    assert ended.status == 0, ended.stderr
    lines = check_story(ended, export)
    assert lines[-1]["event"] == "export:completed"
    assert {line["source"] for line in lines} == {"poll", "client"}
    assert lines[-1]["processingTime"] == 57.215


def test_a_server_that_is_busy_is_nine_and_asked_once(exportctl):
    with serving(Server1(exports_of("busy")[:1], is_busy=True)) as server:
        ended = run(exportctl, server)
    assert ended.status == 9
    assert "already have an export in progress" in ended.stderr
    assert server.count("/export") == 1


def test_a_job_can_be_started_looked_at_followed_and_fetched_by_four_commands(exportctl):
    export = exports_of("small_export")[0]
    with serving(Server1([export])) as server:
        options = ["--server", server.url, "--no-state"]
        started = exportctl.run("start", "project 1", *options)
        name = f"{export.project_id}/{export.job_id}"
        assert started.stdout.decode().strip() == name
        seen = exportctl.run("status", name, "--ndjson", *options)
        row = next(line for line in seen.lines if line["event"] == "job")
        assert (row["status"], row["progress"], row["phase"], row["stage"]) == ("completed", 100, None, None)
        assert (row["fileName"], row["fileSize"]) == (None, None)
        by_id_alone = exportctl.run("status", export.job_id, "--ndjson", *options)
        assert by_id_alone.lines[1]["projectId"] == export.project_id
        followed = exportctl.run("follow", name, "--ndjson", *options)
        assert followed.status == 0
        assert [line["event"] for line in followed.lines if line["event"].startswith("export:")] == [
            "export:status-sync",
            "export:started",
            "export:phase-changed",
            "export:download-ready",
            "export:completed",
        ]
        fetched = exportctl.run("download", name, "-o", "d.zip", *options)
        assert fetched.status == 0, fetched.stderr
    assert (exportctl.folder / "d.zip").read_bytes() == server.body


def refusals(scenario):
    """Every recorded answer that refused a sign-in, and every recorded frame that did."""
    lines = transcript(scenario)
    answers = {line["body"]["error"] for line in lines if line.get("status") == 401 and "/auth/" not in line["path"]}
    frames = {line["frame"] for line in lines if line["dir"] == "ws-recv" and line["frame"].startswith("44")}
    return sorted(answers), sorted(frames)


def test_every_recorded_refusal_of_a_sign_in_is_four(exportctl):
    answers, frames = refusals("auth")
    assert answers
    assert frames
    for words in answers:
        with serving(Server1(exports_of("small_export")[:1], is_signed_in=False, refusal=words)) as server:
            ended = run(exportctl, server)
        assert ended.status == 4, ended.stderr
    for frame in frames:
        with serving(Server1(exports_of("small_export")[:1], socket_refusal=frame)) as server:
            ended = run(exportctl, server)
        assert ended.status == 4, ended.stderr
        assert server.count("/export") == 0
