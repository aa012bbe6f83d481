"""Standard streams that a caller closed: nothing is written into whatever takes their place."""

import os
import sqlite3
from pathlib import Path

import pytest

from exportctl.server.export.sample import make_sample


@pytest.fixture
def job(exportctl, serve, tmp_path):
    make_sample(tmp_path / "plates", 3)
    served = serve(tmp_path / "plates")
    ran = exportctl.run("run", "plates", *served.options, "-q")
    assert ran.status == 0, ran.stderr
    exportctl.environment["EXPORTCTL_TOKEN"] = served.token
    return "@last"


def without(*descriptors):
    """Close these in the command before it begins."""

    def close():
        for descriptor in descriptors:
            os.close(descriptor)

    return {"preexec_fn": close}


@pytest.mark.parametrize("closed", [(1,), (0, 1), (0, 1, 2)])
def test_an_archive_for_a_closed_output_is_refused_and_goes_nowhere(exportctl, job, closed):
    ended = exportctl.run("download", job, "-o", "-", **without(*closed))
    assert ended.status == 11, ended.stderr
    if 2 not in closed:
        assert "cannot write to standard output" in ended.stderr
    with sqlite3.connect(exportctl.home / ".local/state/exportctl/jobs.sqlite3") as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_a_file_is_fetched_whatever_streams_are_closed(exportctl, job):
    ended = exportctl.run("download", job, "-o", "n.zip", **without(0, 2))
    assert ended.status == 0
    assert ended.stdout.decode().strip() == str(exportctl.folder / "n.zip")
    assert (exportctl.folder / "n.zip").stat().st_size > 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("command", [("download", "-o", "n.zip"), ("status",)])
def test_words_that_a_full_disk_does_not_take_are_an_error_of_their_own(exportctl, job, command):
    with Path("/dev/full").open("wb") as full:

        def fill():
            os.dup2(full.fileno(), 1)

        ended = exportctl.run(command[0], job, *command[1:], preexec_fn=fill)
    assert ended.status == 11, ended.stderr
    assert "cannot write to standard output: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    if command[0] == "download":
        assert (exportctl.folder / "n.zip").stat().st_size > 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_messages_that_nobody_takes_do_not_change_the_status(exportctl, job):
    with Path("/dev/full").open("wb") as full:
        ended = exportctl.run("download", job, "-o", "n.zip", stderr=full)
    assert ended.status == 0
