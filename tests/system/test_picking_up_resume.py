"""`resume` and `download` finish what was interrupted, wherever it stopped."""

import signal
import sqlite3
import zipfile

import orjson

from system.picked_up import started, store_of
from system.processes import lines_until, until


class TestResume:
    def test_a_killed_run_is_finished(self, exportctl, serve, slow):
        served = serve(slow)
        with exportctl.start("run", "slow", *served.options, "-o", "x.zip", "--ndjson", "--progress", "none") as run:
            lines_until(run, "export:progress")
            run.kill()
        exportctl.environment["EXPORTCTL_TOKEN"] = served.token
        ended = exportctl.run("resume", "--ndjson")
        assert ended.status == 0, ended.stderr
        assert ended.result["file"] == str(exportctl.folder / "x.zip")
        assert zipfile.ZipFile(exportctl.folder / "x.zip").testzip() is None
        again = exportctl.run("resume", "--ndjson")
        assert (again.status, again.result["jobId"]) == (0, None)

    def test_several_jobs_have_a_result_each(self, exportctl, serve, fast):
        served = serve(fast)
        jobs = [started(exportctl, served, "fast") for _ in range(3)]
        ended = exportctl.run("resume", *served.options, "--ndjson")
        assert ended.status == 0, ended.stderr
        results = [line for line in ended.lines if line["event"] == "result"]
        assert {line["jobId"] for line in results} == {job.split("/")[1] for job in jobs}
        assert all(zipfile.is_zipfile(line["file"]) for line in results)
        assert ended.lines[-1]["event"] == "result"

    def test_a_job_that_the_server_lost_is_told_once(self, exportctl, serve, fast):
        served = serve(fast)
        started(exportctl, served, "fast")
        with sqlite3.connect(store_of(exportctl)) as store:
            store.execute("UPDATE job SET job_id = '00000000-0000-4000-8000-000000000000'")
        store.close()
        assert exportctl.run("resume", *served.options).status == 5
        assert exportctl.run("resume", *served.options).status == 0

    def test_a_job_that_the_server_lost_keeps_no_other_from_being_finished(self, exportctl, serve, fast):
        served = serve(fast)
        jobs = [started(exportctl, served, "fast") for _ in range(2)]
        lost = "00000000-0000-4000-8000-000000000000"
        with sqlite3.connect(store_of(exportctl)) as store:
            store.execute("UPDATE job SET job_id = ? WHERE job_id = ?", (lost, jobs[0].split("/")[1]))
        store.close()
        ended = exportctl.run("resume", *served.options, "--ndjson")
        assert ended.status == 5
        results = {line["jobId"]: line for line in ended.lines if line["event"] == "result"}
        assert (results[lost]["exitCode"], results[jobs[1].split("/")[1]]["exitCode"]) == (5, 0)
        assert lost in results[lost]["error"]["message"]

    def test_nothing_to_resume_is_no_failure(self, exportctl):
        assert exportctl.run("resume").status == 0


def test_a_download_that_was_interrupted_goes_on_where_it_stopped(exportctl, serve, slow):
    served = serve(slow)
    job = started(exportctl, served, "slow")
    exportctl.run("follow", job, *served.options)
    with exportctl.start(
        "download", job, *served.options, "-o", "x.zip", "--limit-rate", "5M", "--ndjson", "--progress", "none"
    ) as fetching:
        until(lambda: (orjson.loads(fetching.stdout.readline()).get("bytes") or 0) > 1_000_000, "a megabyte")
        fetching.send_signal(signal.SIGINT)
        rest, stderr = fetching.communicate()
    assert fetching.returncode == -signal.SIGINT
    assert b"exportctl download" in stderr
    assert orjson.loads(rest.splitlines()[-1])["outcome"] == "detached"
    ended = exportctl.run("resume", *served.options, "--ndjson")
    assert ended.status == 0, ended.stderr
    assert ended.result["stats"]["resumedFrom"] > 1_000_000
    assert ended.result["verified"] is True


def test_what_was_to_be_extracted_is_extracted_when_it_is_picked_up(exportctl, serve, fast):
    served = serve(fast)
    with exportctl.start("run", "fast", *served.options, "--extract", "out", "--ndjson", "--progress", "none") as run:
        lines_until(run, "export:progress")
        run.kill()
        run.communicate()
    exportctl.environment["EXPORTCTL_TOKEN"] = served.token
    wanted, exportctl.folder = exportctl.folder / "out", exportctl.home
    ended = exportctl.run("resume", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert ended.result["file"] == str(wanted)
    assert any(wanted.iterdir())
    assert not list(wanted.parent.glob("*.zip"))
