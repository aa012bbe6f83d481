"""Events of jobs that nobody follows yet: handed over in order, once, and never without end."""

from exportctl.client.unclaimed import EVENTS, JOBS, Unclaimed
from exportctl.protocol.events import Progress


def step(job_id, progress):
    return Progress(job_id=job_id, progress=progress)


def test_what_came_of_a_job_is_handed_over_in_order_and_once():
    unclaimed = Unclaimed()
    for at in range(3):
        unclaimed.keep(step("a", at))
        unclaimed.keep(step("b", at))
    assert [event.progress for event in unclaimed.claim("a")] == [0, 1, 2]
    assert unclaimed.claim("a") == []
    assert unclaimed.jobs() == ["b"]


def test_of_a_flood_the_latest_is_kept_since_it_holds_the_end():
    unclaimed = Unclaimed()
    for at in range(EVENTS + 5):
        unclaimed.keep(step("a", at))
    kept = unclaimed.claim("a")
    assert (len(kept), kept[-1].progress) == (EVENTS, EVENTS + 4)


def test_of_many_jobs_the_oldest_are_let_go():
    unclaimed = Unclaimed()
    for at in range(JOBS + 5):
        unclaimed.keep(step(f"job {at}", 0))
    assert len(unclaimed.jobs()) == JOBS
    assert unclaimed.jobs()[0] == "job 5"
