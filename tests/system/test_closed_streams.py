"""Standard streams that a caller closed: nothing is written into whatever takes their place."""

import os
import sqlite3

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
