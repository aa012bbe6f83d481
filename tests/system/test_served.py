"""The same job in steps against a server of its own: start, status, follow, download."""

import zipfile

import pytest

from system.processes import SHARED

NUCLEI = SHARED / "data" / "nuclei"
pytestmark = pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout")


@pytest.mark.parametrize("transport", ["socket", "polling"])
def test_start_follow_status_and_download_name_the_job_the_same(exportctl, serve, transport):
    served = serve(NUCLEI)
    started = exportctl.run("start", "nuclei", *served.options)
    assert started.status == 0
    job = started.stdout.decode().strip()
    project_id, job_id = job.split("/")

    followed = exportctl.run("follow", job, *served.options, "--ndjson", "--transport", transport)
    assert followed.status == 0
    told = [line["serverSeq"] for line in followed.lines if "serverSeq" in line]
    assert told == list(range(1, len(told) + 1))
    assert followed.result["jobId"] == job_id

    seen = exportctl.run("status", job_id, *served.options, "--ndjson")
    [row] = [line for line in seen.lines if line["event"] == "job"]
    assert (row["status"], row["projectId"], row["projectName"]) == ("completed", project_id, "nuclei")

    fetched = exportctl.run("download", job, *served.options, "-o", "it.zip", "--ndjson")
    assert (fetched.status, fetched.result["sha256"]) == (0, row["sha256"])
    assert zipfile.ZipFile(exportctl.folder / "it.zip").testzip() is None

    again = exportctl.run("download", job, *served.options, "-o", "it.zip", "--ndjson")
    assert again.status == 0
    assert not any(line["event"] == "export:progress" for line in again.lines)


def test_a_story_told_late_is_the_same_as_live(exportctl, serve):
    served = serve(NUCLEI)
    live = exportctl.run("run", "nuclei", *served.options, "--ndjson").lines
    job = f"{live[-1]['projectId']}/{live[-1]['jobId']}"
    late = exportctl.run("follow", job, *served.options, "--ndjson").lines
    differs = {"seq", "elapsed", "source", "correlationId"}

    def story(lines):
        return [{key: line[key] for key in line if key not in differs} for line in lines if "serverSeq" in line]

    assert story(live) == story(late)
    rest = exportctl.run("follow", job, "--after", 3, *served.options, "--ndjson").lines
    assert story(rest) == story(live)[3:]


def test_an_unknown_job_and_project_are_status_5(exportctl, serve):
    served = serve(NUCLEI)
    nobody = "00000000-0000-4000-8000-000000000000"
    for arguments in (["status", nobody], ["follow", f"{nobody}/{nobody}"], ["download", nobody], ["run", "nothing"]):
        ended = exportctl.run(*arguments, *served.options, "-q")
        assert ended.status == 5, arguments
        assert ended.stderr.startswith("exportctl: error: ")
