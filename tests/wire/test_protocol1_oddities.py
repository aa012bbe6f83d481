"""What a client of protocol 1 must survive: the oddities of `WIRE.md` by their numbers, through the real command."""

import json
import os
import signal

import pytest

from exportctl.client import calls, follow1, http
from system.processes import Command, until
from wire.server1 import HOLD, IS_RECORDED, Export, Server1, serving

pytestmark = pytest.mark.skipif(not IS_RECORDED, reason="no recorded transcripts beside the checkout")

JOB, PROJECT = "68cfc04f-b3b0-4565-a512-0c35bb686db4", "b60cedcb-19df-4be5-a661-c17647a2bb57"


@pytest.fixture
def exportctl(tmp_path):
    (tmp_path / "home").mkdir()
    command = Command(folder=tmp_path, home=tmp_path / "home")
    command.environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    return command


def frame(name, **data):
    return "42" + json.dumps([f"export:{name}", {"jobId": JOB} | data])


def export(*whats):
    return Export(job_id=JOB, project_id=PROJECT, request={}, steps=[(0.0, what) for what in whats])


def step(progress, **data):
    return frame("progress", progress=progress, phase="processing", message=f"Processing... {progress}%", **data)


STARTED, COMPLETED = frame("started"), frame("completed", warnings=[])
CANCELLED = frame("cancelled", projectId=PROJECT, cancelledBy="user", progress=41, cleanupCompleted=True, message="Bye")
BY_USER = frame("failed", error="Export cancelled by user")


def arguments(server, *options):
    return ("run", "project 1", "--server", server.url, "--ndjson", "--no-state", "-o", "e.zip", *options)


def run(exportctl, server, *options):
    return exportctl.run(*arguments(server, *options))


def names(ended):
    """The job's own lines; how it stands is said whenever a connection is new."""
    lines = [line for line in ended.lines if line.get("phase") != "downloading"]
    found = [line["event"].removeprefix("export:") for line in lines if line["event"].startswith("export:")]
    return [name for name in found if name != "status-sync"]


def ended_of(process):
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in stdout.splitlines()], stderr.decode()


def test_1_events_that_come_before_the_answer_to_the_post_are_told(exportctl):
    with serving(Server1([export(step(0), STARTED, step(50), COMPLETED, "answer")])) as server:
        ended = run(exportctl, server)
    assert ended.status == 0
    assert names(ended) == ["started", "progress", "progress", "phase-changed", "download-ready", "completed"]


def test_1_a_start_that_is_never_told_is_made_up_for(exportctl):
    with serving(Server1([export(step(0), step(50), COMPLETED, "answer")])) as server:
        ended = run(exportctl, server)
    assert names(ended)[0] == "started"
    started = next(line for line in ended.lines if line["event"] == "export:started")
    assert (started["source"], started["projectName"]) == ("client", "project 1")
    assert started["options"]["annotationFormats"] == ["coco"]


def test_2_progress_never_falls_and_has_no_noise(exportctl):
    raw = [41, 9.5, 6.4399999999999995, 59, 5, 77.10000000000001]
    with serving(Server1([export("answer", STARTED, *map(step, raw), COMPLETED)])) as server:
        ended = run(exportctl, server)
    told = [line for line in ended.lines if line["event"] == "export:progress" and line["phase"] == "processing"]
    assert [line["progress"] for line in told if line["source"] == "socket"] == [41, 41, 41, 59, 59, 77.1]
    assert {line["message"] for line in told} == {"Processing"}
    assert {line["template"] for line in told} == {"export.phase.processing"}


def test_3_the_servers_downloading_is_the_compression_that_it_is(exportctl):
    late = frame("progress", progress=95, phase="downloading", message="Processing... 95%")
    with serving(Server1([export("answer", STARTED, late, COMPLETED)])) as server:
        ended = run(exportctl, server)
    told = next(line for line in ended.lines if line["event"] == "export:progress" and line["progress"] == 95)
    assert (told["phase"], told["stage"], told["message"]) == ("processing", "compression", "Creating archive")
    assert told["template"] == "export.stage.compression"


@pytest.mark.parametrize(
    "after",
    [
        [CANCELLED, BY_USER, BY_USER, step(59)],
        [BY_USER, BY_USER, CANCELLED, step(59)],
        [CANCELLED, frame("failed", error="boom"), step(59)],
    ],
)
def test_4_and_5_a_cancellation_is_final_and_its_cleanup_the_servers_claim(exportctl, after):
    with serving(Server1([export("answer", STARTED, step(41), *after)])) as server:
        ended = run(exportctl, server)
    assert ended.status == 10
    assert names(ended)[-1] == "cancelled"
    assert names(ended).count("cancelled") == 1
    assert "failed" not in names(ended)
    told = next(line for line in ended.lines if line["event"] == "export:cancelled")
    assert (told["cancelledBy"], told["cleanupCompleted"], told["message"]) == ("user", True, "Bye")


def test_4_a_failure_with_the_text_of_a_cancellation_is_one(exportctl):
    with serving(Server1([export("answer", STARTED, step(41), BY_USER, BY_USER)])) as server:
        ended = run(exportctl, server)
    assert ended.status == 10
    told = next(line for line in ended.lines if line["event"] == "export:cancelled")
    assert told["cleanupCompleted"] is None  # nobody claimed anything


def test_6_a_cancellation_waits_until_it_does_no_harm(exportctl):
    held = export("answer", STARTED, step(0), HOLD, CANCELLED, BY_USER, BY_USER)
    with serving(Server1([held], takes_sockets=False)) as server:
        process = exportctl.start(*arguments(server, "--poll-interval", "0.1"))
        until(lambda: server.count("/status"), "the job to be followed")
        process.send_signal(signal.SIGINT)
        looks = server.count("/status")
        until(lambda: server.count("/status") > looks + 10 or server.count("/cancel"), "many more looks")
        assert server.count("/cancel") == 0
        server.soon(lambda: setattr(server.jobs[JOB], "progress", 5))
        status, lines, _ = ended_of(process)
    assert server.count("/cancel") == 1
    assert not any("export:cancel" in one for one in server.asked)  # protocol 1: by HTTP
    assert status == -signal.SIGINT
    assert lines[-1]["outcome"] == "cancelled"


def test_7_a_failure_that_comes_twice_in_many_lines_is_told_once_in_one(exportctl):
    text = "\nInvalid call in /srv/app/src/services/exportService.ts:425\n\n at x"
    failed = frame("failed", error=text)
    with serving(Server1([export("answer", STARTED, failed, failed, step(50))])) as server:
        ended = run(exportctl, server)
    assert ended.status == 3
    assert names(ended).count("failed") == 1
    told = next(line for line in ended.lines if line["event"] == "export:failed")
    assert told["error"] == "Invalid call in …/exportService.ts:425"
    assert "/srv" not in ended.stderr + ended.stdout.decode()


def test_8_a_job_that_a_restart_forgot_is_five_and_says_why(exportctl):
    with serving(Server1([export("answer", STARTED, step(23), HOLD)])) as server:
        process = exportctl.start(*arguments(server, "--poll-interval", "0.2"))
        until(lambda: JOB in server.jobs and server.jobs[JOB].progress == 23, "the job to run")
        until(lambda: server.open, "the socket")
        server.soon(server.forget)
        server.do(server.drop_sockets())
        status, lines, stderr = ended_of(process)
    assert status == 5
    assert "the server restarted and forgot the job" in stderr
    assert lines[-1]["error"]["code"] == "FORGOTTEN"


@pytest.mark.parametrize("command", ["status", "follow", "download"])
def test_8_every_command_says_that_a_job_may_be_forgotten(exportctl, command):
    with serving(Server1([export("answer")])) as server:
        ended = exportctl.run(command, f"{PROJECT}/{JOB}", "--server", server.url, "--no-state")
    assert ended.status == 5
    assert "the server restarted and forgot the job" in ended.stderr


def test_9_a_server_with_one_export_at_a_time_is_nine(exportctl):
    with serving(Server1([export("answer")], is_busy=True)) as server:
        ended = run(exportctl, server)
    assert ended.status == 9
    assert server.count("/export") == 1


def test_10_the_size_is_asked_for_by_head(exportctl):
    with serving(Server1([export("answer", STARTED, COMPLETED)])) as server:
        ended = run(exportctl, server)
    heads = [one for one in server.asked if one.startswith("HEAD")]
    assert heads[0].endswith("/download")
    assert next(line for line in ended.lines if line["event"] == "export:download-ready")["fileSize"] == len(
        server.body
    )


def test_11_a_sign_in_that_ends_on_the_way_is_four(exportctl):
    with serving(Server1([export("answer", STARTED, step(23), HOLD)])) as server:
        process = exportctl.start(*arguments(server))
        until(lambda: JOB in server.jobs and server.jobs[JOB].progress == 23, "the job to run")

        def ends():
            server.is_signed_in = False

        server.soon(ends)
        server.do(server.drop_sockets())
        status, lines, stderr = ended_of(process)
    assert status == 4
    assert lines[-1]["exitCode"] == 4
    assert "Traceback" not in stderr


def test_12_events_that_were_lost_with_the_socket_are_asked_for(exportctl):
    with serving(Server1([export("answer", STARTED, step(23), HOLD, step(80), COMPLETED)])) as server:
        process = exportctl.start(*arguments(server))
        until(lambda: JOB in server.jobs and server.jobs[JOB].progress == 23, "the job to run")
        until(lambda: server.open, "the socket")

        def mute():
            server.sends_events = False
            server.jobs[JOB].cancelled.set()

        server.soon(mute)
        until(lambda: server.jobs[JOB].said == "completed", "the end that nobody is told")
        server.do(server.drop_sockets())
        status, lines, stderr = ended_of(process)
    assert status == 0, stderr
    assert [line["event"] for line in lines].count("export:completed") == 1
    assert "polling" in {line.get("state") for line in lines}
    end = next(line for line in lines if line["event"] == "export:completed")
    assert end["source"] == "poll"


def test_13_an_answer_that_takes_long_is_waited_for(exportctl):
    with serving(Server1([export("answer", STARTED, step(23), HOLD)], takes_sockets=False, late_by=4.0)) as server:
        process = exportctl.start(*arguments(server, "--poll-interval", "0.1"))
        until(lambda: server.count("/status"), "the first look")
        server.soon(lambda: setattr(server.jobs[JOB], "said", "completed"))
        status, lines, stderr = ended_of(process)
    assert status == 0, stderr
    assert "Unreachable" not in stderr
    assert lines[-1]["outcome"] == "completed"


def test_13_no_time_out_is_shorter_than_the_servers_longest_silence():
    assert min(http.ANSWER_SECONDS, follow1.ANSWER_SECONDS, calls.ACKNOWLEDGE_SECONDS) >= 15


def test_14_a_completed_job_without_its_archive_is_five(exportctl):
    with serving(Server1([export("answer", STARTED, COMPLETED)], answers_heads=False)) as server:
        ended = run(exportctl, server)
    assert ended.status == 5
    ready = next(line for line in ended.lines if line["event"] == "export:download-ready")
    assert (ready["fileSize"], ready["fileName"]) == (None, None)
    assert not (exportctl.folder / "e.zip").exists()


@pytest.mark.parametrize("takes_sockets", [True, False], ids=["heard of", "in the history"])
def test_15_a_start_whose_answer_was_lost_is_found_and_not_sent_again(exportctl, takes_sockets):
    told = export(step(0), STARTED, "answer", COMPLETED)
    with serving(Server1([told], loses_answers=True, takes_sockets=takes_sockets)) as server:
        ended = run(exportctl, server, "--poll-interval", "0.2")
    assert ended.status == 0, ended.stderr
    assert ended.result["jobId"] == JOB
    assert server.count("/export") == 1
    assert names(ended)[-1] == "completed"


def test_15_a_start_that_is_nowhere_is_seven(exportctl):
    with serving(Server1([export("answer")], loses_starts=True)) as server:
        ended = run(exportctl, server)
    assert ended.status == 7
    assert ended.result["jobId"] is None
    assert server.count("/export") == 1
    assert server.count("/history") == 4
