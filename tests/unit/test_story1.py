"""The order of a protocol 1 job: started first and once, then progress, then one end; `cancelled` is final."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.protocol.dialects.story1 import Story, judge
from exportctl.protocol.events import Cancelled, Completed, Failed, Progress, Started

JOB = "j1"
STARTED = Started(job_id=JOB, timestamp="t")
ZERO, HALF = Progress(job_id=JOB, progress=0.0), Progress(job_id=JOB, progress=50.0)
COMPLETED, FAILED = Completed(job_id=JOB), Failed(job_id=JOB, error="boom")
CANCELLED, CLAIMED = Cancelled(job_id=JOB), Cancelled(job_id=JOB, cleanup_completed=True)
EVENTS = st.lists(st.sampled_from([STARTED, ZERO, HALF, COMPLETED, FAILED, CANCELLED, CLAIMED]), max_size=12)


def tell(story, events):
    told = []
    for event in events:
        if isinstance(event, Started | Progress):
            told += story.take(event)
        else:
            story.end(event)
    return told


@given(EVENTS)
def test_whatever_comes_the_start_is_told_first_and_once(events):
    story = Story(job_id=JOB)
    told = tell(story, events) + story.begin()
    assert isinstance(told[0], Started)
    assert sum(isinstance(one, Started) for one in told) == 1


@given(EVENTS)
def test_behind_an_end_nothing_is_told(events):
    story = Story(job_id=JOB)
    story.end(FAILED)
    assert tell(story, events) == []


@given(EVENTS)
def test_a_cancellation_is_final(events):
    story = Story(job_id=JOB)
    story.end(CANCELLED)
    tell(story, events)
    assert isinstance(story.heard, Cancelled)


def test_a_progress_of_nothing_waits_for_the_start():
    story = Story(job_id=JOB, project_name="n", options={"a": 1})
    assert story.take(ZERO) == []
    started, zero = story.take(STARTED)
    assert (started.project_name, started.options, started.timestamp) == ("n", {"a": 1}, "t")
    assert zero is ZERO


def test_a_progress_of_something_shows_that_the_start_was_lost():
    story = Story(job_id=JOB)
    story.take(ZERO)
    assert [type(one) for one in story.take(HALF)] == [Started, Progress, Progress]
    assert story.take(STARTED) == []


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (FAILED, CANCELLED, CANCELLED),
        (CANCELLED, CLAIMED, CLAIMED),
        (CLAIMED, CANCELLED, CLAIMED),
        (CANCELLED, FAILED, CANCELLED),
        (COMPLETED, FAILED, COMPLETED),
        (COMPLETED, CANCELLED, COMPLETED),
        (FAILED, FAILED, FAILED),
    ],
)
def test_the_first_end_counts_but_a_cancellation_says_more_than_its_failure(first, second, kept):
    story = Story(job_id=JOB)
    story.end(first)
    story.end(second)
    assert story.heard is kept


@pytest.mark.parametrize(
    ("heard", "confirmed", "end"),
    [
        (None, None, None),
        (COMPLETED, None, None),
        (None, FAILED, FAILED),
        (CLAIMED, CANCELLED, CLAIMED),
        (CLAIMED, FAILED, CLAIMED),
        (FAILED, CANCELLED, CANCELLED),
        (COMPLETED, FAILED, FAILED),
        (FAILED, COMPLETED, COMPLETED),
    ],
)
def test_rest_is_the_judge_of_an_end(heard, confirmed, end):
    assert judge(heard, confirmed) is end
