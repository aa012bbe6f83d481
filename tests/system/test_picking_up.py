"""Picking up again: jobs that outlive their command, from any terminal, by whatever name."""

import json
import os
import signal
import sqlite3
import zipfile
from pathlib import Path

import orjson
import pytest

from system.processes import Served, until

FAST = 3
SLOW = 300


def make_folder(folder: Path, images: int) -> Path:
    """Make a project of so many images, as the sample has them."""
    from exportctl.server.export.sample import make_sample  # noqa: PLC0415 - needs the image libraries

    make_sample(folder, images)
    return folder


@pytest.fixture(scope="session")
def fast(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("fast") / "fast", FAST)


@pytest.fixture(scope="session")
def slow(tmp_path_factory):
    """A project whose export takes many seconds."""
    return make_folder(tmp_path_factory.mktemp("slow") / "slow", SLOW)


def store_of(exportctl) -> Path:
    return exportctl.home / ".local/state/exportctl/jobs.sqlite3"


def rows(ended):
    return [line for line in ended.lines if line["event"] == "job"]


def read_until(process, event):
    for text in process.stdout:
        line = orjson.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(process.stderr.read())


def started(exportctl, served, project):
    ended = exportctl.run("start", project, *served.options)
    assert ended.status == 0, ended.stderr
    return ended.stdout.decode().strip()


class TestNames:
    def test_the_last_job_and_the_beginning_of_an_id_need_no_server(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        exportctl.environment["EXPORTCTL_TOKEN"] = served.token
        for name in ("@last", job, job.split("/")[1], job.split("/")[1][:8]):
            ended = exportctl.run("status", name, "--ndjson")
            assert ended.status == 0, ended.stderr
            assert rows(ended)[0]["jobId"] == job.split("/")[1]

    def test_a_machine_that_knows_nothing_asks_the_server_for_the_beginning(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        ended = exportctl.run("status", job.split("/")[1][:8], *served.options, "--no-state", "--ndjson")
        assert rows(ended)[0]["jobId"] == job.split("/")[1]
        unknown = exportctl.run("status", "aaaaaaaa", *served.options, "--no-state")
        assert unknown.status == 5
        nowhere = exportctl.run("status", "no-such-project/aaaaaaaa", *served.options, "--no-state")
        assert (nowhere.status, "exportctl projects" in nowhere.stderr) == (5, True)

    def test_an_ambiguous_beginning_lists_what_it_begins(self, exportctl, serve, fast):
        served = serve(fast)
        job = started(exportctl, served, "fast")
        with sqlite3.connect(store_of(exportctl)) as store:
            store.execute("UPDATE job SET job_id = 'abcdef-1'")
            store.execute(
                "INSERT INTO job (server, job_id, project_id, began_at, touched, touched_at)"
                " VALUES (?, 'abcdef-2', 'p', 0, 9, 0)",
                (served.url,),
            )
        store.close()
        ended = exportctl.run("status", "abcdef", *served.options)
        assert ended.status == 2
        assert f"{job.split('/')[0]}/abcdef-1" in ended.stderr
        assert "p/abcdef-2" in ended.stderr

    def test_another_server_than_the_job_s_is_a_contradiction(self, exportctl, serve, fast):
        served = serve(fast)
        started(exportctl, served, "fast")
        ended = exportctl.run("status", "@last", "--server", "http://127.0.0.1:9")
        assert ended.status == 2
        assert served.url in ended.stderr

    @pytest.mark.parametrize("command", ["status", "download", "follow", "cancel"])
    def test_no_job_is_the_last_where_none_was(self, exportctl, command):
        ended = exportctl.run(command, "@last", "--ndjson", "--server", "http://127.0.0.1:9")
        assert (ended.status, ended.result["exitCode"]) == (5, 5)

    def test_a_token_of_the_profile_goes_to_no_other_server(self, exportctl, serve, fast):
        served = serve(fast)
        started(exportctl, served, "fast")
        settings = exportctl.home / ".config/exportctl"
        settings.mkdir(parents=True)
        (settings / "config.toml").write_text(f'[default]\nserver = "http://127.0.0.1:9"\ntoken = "{served.token}"\n')
        ended = exportctl.run("status", "@last")
        assert ended.status == 4


class TestStore:
    def test_a_run_leaves_what_it_did(self, exportctl, serve, fast):
        served = serve(fast)
        ended = exportctl.run("run", "fast", *served.options, "-o", "x.zip", "--ndjson")
        assert ended.status == 0, ended.stderr
        with sqlite3.connect(store_of(exportctl)) as store:
            store.row_factory = sqlite3.Row
            [row] = store.execute("SELECT * FROM job").fetchall()
        store.close()
        last_seq = max(line.get("serverSeq", 0) for line in ended.lines)
        assert row["server"] == served.url
        assert (row["status"], row["exit_status"], row["is_saved"], row["cursor"]) == ("completed", 0, 1, last_seq)
        assert Path(os.fsdecode(row["output"])) == exportctl.folder / "x.zip"
        assert "annotationFormats" in json.loads(row["options"])
        assert served.token.encode() not in b"".join(
            path.read_bytes() for path in store_of(exportctl).parent.glob("j*")
        )

    @pytest.mark.parametrize("off", ["option", "variable"])
    def test_nothing_is_kept_where_that_is_asked_for(self, exportctl, serve, fast, off):
        served = serve(fast)
        if off == "variable":
            exportctl.environment["EXPORTCTL_STATE"] = "off"
        options = ["--no-state"] if off == "option" else []
        assert exportctl.run("run", "fast", *served.options, *options).status == 0
        assert not store_of(exportctl).exists()

    @pytest.mark.parametrize("mishap", ["damaged", "newer", "folder", "no home"])
    def test_no_mishap_of_the_store_makes_a_command_fail(self, exportctl, serve, fast, mishap):
        served = serve(fast)
        path = store_of(exportctl)
        path.parent.mkdir(parents=True, exist_ok=True)
        if mishap == "damaged":
            path.write_bytes(b"this is no database" * 1000)
        elif mishap == "newer":
            with sqlite3.connect(path) as store:
                store.execute("CREATE TABLE x (y)")
                store.execute("PRAGMA user_version = 99")
            store.close()
        elif mishap == "folder":
            path.mkdir()
        else:
            exportctl.environment["HOME"] = "/dev/null/nowhere"
        ended = exportctl.run("run", "fast", *served.options, "--ndjson")
        assert ended.status == 0, ended.stderr
        warnings = [line for line in ended.lines if line["event"] == "log" and line["level"] == "warning"]
        assert [line["code"] for line in warnings] == ["state"]
        assert zipfile.is_zipfile(ended.result["file"])


class TestResume:
    def test_a_killed_run_is_finished(self, exportctl, serve, slow):
        served = serve(slow)
        with exportctl.start("run", "slow", *served.options, "-o", "x.zip", "--ndjson", "--progress", "none") as run:
            read_until(run, "export:progress")
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
            line = read_until(run, "export:progress")
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


def test_twenty_commands_at_once_share_the_store(exportctl, serve, fast):
    served = serve(fast)
    exportctl.environment |= {"EXPORTCTL_SERVER": served.url, "EXPORTCTL_TOKEN": served.token}
    shown = ["--ndjson", "--progress", "none"]
    first = exportctl.run("start", "fast").stdout.decode().strip()
    processes = [
        *(exportctl.start("run", "fast", "-o", f"{number}.zip", *shown) for number in range(8)),
        *(exportctl.start("follow", first, *shown) for _ in range(4)),
        *(exportctl.start("list", "--ndjson") for _ in range(4)),
        *(exportctl.start("resume", *shown) for _ in range(4)),
    ]
    for process in processes:
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
        assert b'"code":"state"' not in stdout
    assert len(rows(exportctl.run("list", "--ndjson"))) == 9
    names = {path.name for path in exportctl.folder.iterdir()}
    assert {f"{number}.zip" for number in range(8)} <= names
    assert not [name for name in names if name.startswith(".")], "a lock or a partial was left"


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


def test_two_commands_for_the_same_job_and_place_leave_one_file_and_both_succeed(exportctl, serve, slow):
    served = serve(slow)
    job = started(exportctl, served, "slow")
    exportctl.run("follow", job, *served.options)
    with exportctl.start(
        "download", job, *served.options, "-o", "x.zip", "--limit-rate", "20M", "--ndjson", "--progress", "none"
    ) as first:
        until(lambda: (orjson.loads(first.stdout.readline()).get("bytes") or 0) > 1_000_000, "a megabyte")
        second = exportctl.run("download", job, *served.options, "-o", "x.zip", "--ndjson")
        first.communicate()
    assert (first.returncode, second.status) == (0, 0), second.stderr
    assert any(line.get("code") == "locked" for line in second.lines)
    assert [path.name for path in exportctl.folder.iterdir()] == ["x.zip"]


def test_a_job_is_asked_for_where_the_user_says_though_it_is_known_elsewhere(exportctl, serve, fast):
    here = serve(fast)
    job = started(exportctl, here, "fast")
    there = serve(fast, state="there")
    for name in (job, job.split("/")[1], job.split("/")[1][:8]):
        ended = exportctl.run("status", name, *there.options, "--ndjson")
        assert ended.status == 5, ended.stderr
        assert there.url in ended.lines[0]["server"]
    assert exportctl.run("follow", job, "--token", here.token, "--ndjson").status == 0
    refused = exportctl.run("follow", "@last", *there.options)
    assert (refused.status, here.url in refused.stderr, there.url in refused.stderr) == (2, True, True)


def test_an_unknown_job_keeps_no_other_from_being_followed(exportctl, serve, fast):
    served = serve(fast)
    job = started(exportctl, served, "fast")
    ended = exportctl.run("follow", "00000000-0000-4000-8000-000000000000", job, *served.options, "--ndjson")
    assert ended.status == 5
    results = {line["jobId"]: line["exitCode"] for line in ended.lines if line["event"] == "result"}
    assert results == {"00000000-0000-4000-8000-000000000000": 5, job.split("/")[1]: 0}


def test_a_job_of_this_machine_s_own_server_is_told_as_such(exportctl, fast):
    ended = exportctl.run("run", fast, "-o", "x.zip", "--ndjson")
    assert ended.status == 0, ended.stderr
    seen = exportctl.run("status", "@last")
    assert seen.status == 5
    assert str(exportctl.folder / "x.zip") in seen.stderr
    assert exportctl.run("resume").status == 0
    [row] = rows(exportctl.run("list", "--ndjson"))
    assert (row["status"], row["jobId"]) == ("completed", ended.result["jobId"])


def test_an_output_has_one_writer_and_the_second_starts_nothing(exportctl, serve, slow):
    served = serve(slow)
    with exportctl.start("run", "slow", *served.options, "-o", "x.zip", "--ndjson", "--progress", "none") as run:
        job = read_until(run, "export:progress")["jobId"]
        second = exportctl.run("run", "slow", *served.options, "-o", "x.zip", "--overwrite", "--ndjson")
        assert (second.status, second.result["error"]["code"], second.result["jobId"]) == (11, "LOCKED", None)
        assert job in second.result["error"]["message"]
        joined = exportctl.start(
            "run", "slow", *served.options, "-o", "x.zip", "--if-busy", "join", "--ndjson", "--progress", "none"
        )
        stdout, stderr = joined.communicate()
        run.communicate()
    assert (run.returncode, joined.returncode) == (0, 0), stderr
    result = orjson.loads(stdout.splitlines()[-1])
    assert (result["jobId"], result["file"], result["verified"]) == (job, str(exportctl.folder / "x.zip"), True)
    assert len(rows(exportctl.run("list", "slow", *served.options, "--ndjson"))) == 1
    assert [path.name for path in exportctl.folder.iterdir()] == ["x.zip"]


def test_what_was_to_be_extracted_is_extracted_when_it_is_picked_up(exportctl, serve, fast):
    served = serve(fast)
    with exportctl.start("run", "fast", *served.options, "--extract", "out", "--ndjson", "--progress", "none") as run:
        read_until(run, "export:progress")
        run.kill()
        run.communicate()
    exportctl.environment["EXPORTCTL_TOKEN"] = served.token
    wanted, exportctl.folder = exportctl.folder / "out", exportctl.home
    ended = exportctl.run("resume", "--ndjson")
    assert ended.status == 0, ended.stderr
    assert ended.result["file"] == str(wanted)
    assert any(wanted.iterdir())
    assert not list(wanted.parent.glob("*.zip"))


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
