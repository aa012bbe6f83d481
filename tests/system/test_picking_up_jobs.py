"""Jobs that outlive their command are followed, cancelled and listed from any terminal."""

import orjson
import pytest

from system.picked_up import rows, started
from system.processes import Served, lines_until


def test_follow_without_a_job_follows_all_that_are_unfinished(exportctl, serve, fast):
    served = serve(fast)
    jobs = [started(exportctl, served, "fast") for _ in range(2)]
    ended = exportctl.run("follow", *served.options, "--ndjson")
    assert ended.status == 0, ended.stderr
    results = [line for line in ended.lines if line["event"] == "result"]
    assert {line["jobId"] for line in results} == {job.split("/")[1] for job in jobs}
    assert exportctl.run("follow", *served.options, "--ndjson").result["jobId"] is None


class TestCancel:
    @pytest.mark.parametrize("transport", ["socket", "polling"])
    def test_a_running_job_is_cancelled_and_its_cleanup_told(self, exportctl, serve, slow, transport):
        served = serve(slow)
        job = started(exportctl, served, "slow")
        ended = exportctl.run("cancel", "@last", *served.options, "--ndjson", "--transport", transport)
        assert ended.status == 0, ended.stderr
        [line] = [line for line in ended.lines if line["event"] == "export:cancelled"]
        assert line["cleanupCompleted"] is True
        assert (ended.result["outcome"], ended.result["exitCode"]) == ("cancelled", 0)
        again = exportctl.run("cancel", job, *served.options, "--ndjson")
        assert (again.status, again.result["outcome"]) == (0, "cancelled")

    def test_what_one_terminal_cancels_ends_in_the_other(self, exportctl, serve, slow):
        served = serve(slow)
        with exportctl.start("run", "slow", *served.options, "--ndjson", "--progress", "none") as run:
            line = lines_until(run, "export:progress")[-1]
            assert exportctl.run("cancel", line["jobId"], *served.options).status == 0
            rest, _ = run.communicate()
        result = orjson.loads(rest.splitlines()[-1])
        assert (run.returncode, result["outcome"]) == (10, "cancelled")

    def test_unknown_and_ended_ones_are_told_apart(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        exportctl.run("follow", job, *served.options)
        ended = exportctl.run("cancel", job, "00000000-0000-4000-8000-000000000000", *served.options, "--ndjson")
        assert ended.status == 5
        results = [line for line in ended.lines if line["event"] == "result"]
        assert {line["outcome"] for line in results} == {"completed", "error"}


class TestList:
    def test_jobs_of_this_machine_and_of_the_server_are_one_list(self, exportctl, serve, fast):
        served = serve(fast)
        here = started(exportctl, served, "fast")
        exportctl.run("follow", here, *served.options)
        elsewhere = exportctl.run("start", "fast", *served.options, "--no-state").stdout.decode().strip()
        assert {row["jobId"] for row in rows(exportctl.run("list", "--ndjson"))} == {here.split("/")[1]}
        both = exportctl.run("list", "fast", *served.options, "--ndjson")
        assert {row["jobId"] for row in rows(both)} == {job.split("/")[1] for job in (here, elsewhere)}
        assert len(rows(both)) == 2

    def test_a_table_is_for_people(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        shown = exportctl.run("list").stdout.decode().splitlines()
        assert shown[0].split() == ["PROJECT", "STATUS", "PROGRESS", "BEGUN", "JOB"]
        assert shown[1].endswith(job)

    def test_no_job_at_all_is_no_failure(self, exportctl):
        ended = exportctl.run("list", "--ndjson")
        assert (ended.status, rows(ended)) == (0, [])


def test_an_unknown_job_keeps_no_other_from_being_followed(exportctl, serve, fast):
    served = serve(fast)
    job = started(exportctl, served, "fast")
    ended = exportctl.run("follow", "00000000-0000-4000-8000-000000000000", job, *served.options, "--ndjson")
    assert ended.status == 5
    results = {line["jobId"]: line["exitCode"] for line in ended.lines if line["event"] == "result"}
    assert results == {"00000000-0000-4000-8000-000000000000": 5, job.split("/")[1]: 0}


def test_jobs_of_several_servers_are_followed_and_cancelled_together(exportctl, serve, fast, slow, tmp_path):
    first = serve(fast)
    second = Served.start(exportctl, slow, state=tmp_path / "second")
    try:
        exportctl.environment["EXPORTCTL_TOKEN"] = first.token
        quick, long = started(exportctl, first, "fast"), started(exportctl, second, "slow")
        ended = exportctl.run("cancel", quick, long, "--ndjson")
        assert ended.status == 0, ended.stderr
        results = {line["jobId"]: line["outcome"] for line in ended.lines if line["event"] == "result"}
        assert results[long.split("/")[1]] == "cancelled"
        assert len(results) == 2
        ended = exportctl.run("follow", quick, long, "--ndjson")
        assert len([line for line in ended.lines if line["event"] == "result"]) == 2
        assert ended.status == 10  # that of the first which is not done: a job that was cancelled
    finally:
        second.end()
