"""What every archive store must do, whoever keeps it: whole archives to read, and nothing left of what is removed."""

import pytest

from exportctl.server.archive_store import ArchiveGoneError
from exportctl.server.folder_store import FolderStore

STORES = {"folder": FolderStore}
"""By name: makes the store of a test that has this folder. A second one is tested by one line here."""
BYTES = b"PK and all that follows"


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


def made(store, job):
    """Have a job make its archive, with all that lies about meanwhile; returns its files."""
    files = store.files(job).take()
    (files.parts / "part").write_bytes(b"part")
    files.ledger.write_bytes(b"{}\n")
    files.archive.write_bytes(BYTES)
    return files


def test_an_archive_is_read_as_it_was_made_also_by_who_came_after_the_job(store):
    files = made(store, "job")
    for _ in ("while the job is there", "when it is settled"):
        with store.open("job", len(BYTES)) as file:
            assert file.read() == BYTES
        store.settle("job")
    assert not files.work.exists()
    assert not files.ledger.exists()


@pytest.mark.parametrize("size", [len(BYTES) - 1, len(BYTES) + 1, 0])
def test_an_archive_that_is_not_what_it_was_is_gone(store, size):
    made(store, "job")
    with pytest.raises(ArchiveGoneError):
        store.open("job", size)


def test_what_is_removed_is_gone_but_for_those_who_read_it(store):
    made(store, "job")
    with store.open("job", len(BYTES)) as file:
        assert store.remove("job")
        assert file.read() == BYTES
    for job in ("job", "nobody's"):
        assert store.remove(job)
        with pytest.raises(ArchiveGoneError):
            store.open(job, len(BYTES))


def test_all_jobs_are_known_of_which_anything_is_left(store):
    made(store, "whole")
    made(store, "settled")
    store.settle("settled")
    store.settle("nobody's")
    store.files("begun").take()
    made(store, "removed")
    store.remove("removed")
    assert store.jobs() == ["begun", "settled", "whole"]
