"""Two commands, one output: it has one writer, and both end well."""

import orjson

from system.picked_up import rows, started
from system.processes import lines_until, until


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


def test_an_output_has_one_writer_and_the_second_starts_nothing(exportctl, serve, slow):
    served = serve(slow)
    with exportctl.start("run", "slow", *served.options, "-o", "x.zip", "--ndjson", "--progress", "none") as run:
        job = lines_until(run, "export:progress")[-1]["jobId"]
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
