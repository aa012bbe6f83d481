"""What a command tells the store of a job's end, and what it takes away then."""

import fcntl
import time

import pytest

from exportctl.commands.body.memory import Memory
from exportctl.commands.body.report import Report
from exportctl.store.database import Database
from exportctl.store.jobs import Jobs, KnownJob


@pytest.fixture
def memory(tmp_path):
    memory = Memory(jobs=Jobs(database=Database(folder=tmp_path / "state")))
    yield memory
    memory.close()


@pytest.fixture
def report(memory, tmp_path):
    partial = tmp_path / ".x.zip.6f0c2b7e.part"
    partial.write_bytes(b"PK")
    partial.with_name(f"{partial.name}.json").write_bytes(b"{}")
    (tmp_path / ".x.zip.lock").write_text("j")
    report = Report(monotonic=time.monotonic, job_id="j")
    memory.begin(report, KnownJob(server="s", job_id="j", partial=partial, output=tmp_path / "x.zip"))
    return report


def left(tmp_path):
    return sorted(path.name for path in tmp_path.glob(".x.zip*"))


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_partial_of_an_archive_that_there_will_not_be_goes(memory, report, tmp_path, end):
    report.known = KnownJob(server="s", job_id="j")  # another command need not know where it lies
    memory.ended(report, end)
    assert left(tmp_path) == []


@pytest.mark.parametrize("end", ["completed", "gone"])
def test_one_that_can_still_help_stays(memory, report, tmp_path, end):
    memory.ended(report, end)
    assert len(left(tmp_path)) == 3


def test_one_that_a_command_is_writing_to_is_left_to_it(memory, report, tmp_path):
    with (tmp_path / ".x.zip.6f0c2b7e.part").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        memory.ended(report, "cancelled")
    assert left(tmp_path) == [".x.zip.6f0c2b7e.part", ".x.zip.6f0c2b7e.part.json"]


def test_without_a_store_nothing_is_kept_and_nothing_fails(tmp_path):
    memory = Memory()
    report = Report(monotonic=time.monotonic, job_id="j")
    memory.begin(report, KnownJob(server="s", job_id="j", partial=tmp_path / "x"))
    memory.ended(report, "cancelled")
    assert not memory.is_kept()
