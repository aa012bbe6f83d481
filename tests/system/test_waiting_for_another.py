"""Two commands that are to write the same job's archive to the same place: the second waits, and finds it done."""

import contextlib
import os

import orjson
import pytest

from exportctl.client.claim import Claim
from exportctl.client.partial import Partial
from exportctl.server.export.sample import make_sample
from system.processes import end_of, until


@pytest.fixture
def job(exportctl, serve, tmp_path):
    make_sample(tmp_path / "plates", 3)
    served = serve(tmp_path / "plates")
    ran = exportctl.run("run", "plates", *served.options, "-q", "--ndjson", "--no-state")
    assert ran.status == 0, ran.stderr
    exportctl.environment["EXPORTCTL_TOKEN"] = served.token
    exportctl.environment["EXPORTCTL_SERVER"] = served.url
    return ran.result["projectId"], ran.result["jobId"]


def waited(exportctl, job, *options, places, meanwhile):
    """Download while another command claims `places`; `meanwhile` is what that one leaves."""
    project, job_id = job
    with contextlib.ExitStack() as other:
        other.enter_context(Claim([exportctl.folder / place for place in places], job_id))
        command = exportctl.start("download", f"{project}/{job_id}", *options, "--ndjson", "--progress", "none")
        with command:
            until(lambda: orjson.loads(command.stdout.readline()).get("code") == "locked", "the command to wait")
            meanwhile()
            other.close()
            ended = end_of(command, 60, options)
    assert ended.status == 0, ended.stderr
    return ended.result


@pytest.mark.parametrize("is_made", [True, False])
def test_entries_that_another_command_has_put_there_are_what_was_wanted(exportctl, job, is_made):
    folder = exportctl.folder / "out"

    def make():
        if is_made:
            folder.mkdir()
            (folder / "by-another").touch()

    result = waited(exportctl, job, "--extract", "out", places=["out"], meanwhile=make)
    assert result["file"] == str(folder)
    assert result["stats"]["resumedFrom"] == (result["bytes"] if is_made else None)
    assert (folder / "by-another").exists() == is_made
    assert (folder / "images").exists() != is_made


def test_a_folder_that_was_there_before_is_not_taken_for_what_another_command_made(exportctl, job):
    folder = exportctl.folder / "out"
    folder.mkdir()
    options = ("-o", "n.zip", "--extract", "out")
    waited(exportctl, job, *options, places=["n.zip", "out"], meanwhile=lambda: None)
    assert (folder / "images").exists()


def test_a_command_killed_while_it_published_leaves_nothing_behind_the_next_one(exportctl, job):
    name = f"{job[0]}/{job[1]}"
    assert exportctl.run("download", name, "-o", "n.zip").status == 0
    partial = Partial(exportctl.folder / "n.zip", job[1])
    os.link(partial.target, partial.path)
    partial.path.with_name(partial.path.name + ".json").write_bytes(b"{}")
    ended = exportctl.run("download", name, "-o", "n.zip", "--ndjson")
    assert (ended.status, ended.result["stats"]["resumedFrom"]) == (0, ended.result["bytes"])
    assert list(exportctl.folder.glob(".n.zip*")) == []
