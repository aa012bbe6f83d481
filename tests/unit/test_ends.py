"""What a protocol 1 status says, as the events that were or would have been told of the job."""

from dataclasses import replace

import pytest

from exportctl.client import ends
from exportctl.client.job_status import JobStatus
from exportctl.protocol.events import Cancelled, Completed, Failed

SEEN = JobStatus(
    id="j1",
    project_id="p1",
    project_name="n",
    status="processing",
    phase=None,
    stage=None,
    progress=41.0,
    stage_progress=None,
    estimated_time_remaining=None,
    message=None,
    created_at="2026-11-24T03:23:22.470Z",
    completed_at="2026-11-24T03:24:19.685Z",
    file_name=None,
    file_size=None,
    sha256=None,
    warnings=("w",),
    error=None,
    last_seq=None,
)


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_a_job_that_runs_has_a_progress_and_no_end(status):
    seen = replace(SEEN, status=status)
    assert ends.end_of(seen) is None
    progress = ends.progress_of(seen)
    assert (progress.progress, progress.stage, progress.message) == (41, None, "Processing")


def test_late_progress_is_the_compression():
    assert ends.progress_of(replace(SEEN, progress=95.0)).stage == "compression"


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "unknown"])
def test_a_job_that_does_not_run_has_no_progress(status):
    assert ends.progress_of(replace(SEEN, status=status)) is None


def test_a_completed_job_took_the_time_that_the_servers_clock_says():
    end = ends.end_of(replace(SEEN, status="completed"))
    assert end == Completed(job_id="j1", project_id="p1", warnings=("w",))
    assert ends.with_time(end, SEEN).processing_time == 57.215


@pytest.mark.parametrize("at", [None, "soon", "2026-11-24T03:24:19"])
def test_a_time_that_nobody_knows_is_none(at):
    assert ends.with_time(Completed(job_id="j1"), replace(SEEN, completed_at=at)).processing_time is None


@pytest.mark.parametrize(
    ("error", "told"),
    [({"message": "boom"}, "boom"), (None, "the server gave no reason"), ({}, "the server gave no reason")],
)
def test_a_failed_job_says_why_where_it_can(error, told):
    assert ends.end_of(replace(SEEN, status="failed", error=error)) == Failed(job_id="j1", project_id="p1", error=told)


@pytest.mark.parametrize(("message", "who"), [("Export cancelled by user", "user"), (None, None), ("Bye", None)])
def test_of_a_cancelled_jobs_cleanup_nothing_is_claimed(message, who):
    end = ends.end_of(replace(SEEN, status="cancelled", message=message))
    assert isinstance(end, Cancelled)
    assert (end.cancelled_by, end.cleanup_completed) == (who, None)
