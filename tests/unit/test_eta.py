"""The time left: right for what goes on evenly, silent where nothing is known, never negative, never wild."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.eta import Estimate, Throughput
from exportctl.protocol.events import StageProgress


def told(*events, began=0.0):
    estimate = Estimate(began=began)
    for at, progress, stage, counts in events:
        estimate.take(
            at, progress, stage, None if counts is None else StageProgress(current=counts[0], total=counts[1])
        )
    return estimate


@pytest.mark.parametrize("began", [0.0, 1e6])
def test_what_goes_on_evenly_is_estimated_exactly(began):
    estimate = told(*((began + at, float(at), None, None) for at in range(1, 41)), began=began)
    assert estimate.left(began + 40) == pytest.approx(60)


def test_what_was_estimated_is_counted_down_until_more_is_told():
    estimate = told(*((at, float(at), None, None) for at in range(1, 41)))
    assert estimate.left(43.0) == pytest.approx(57)


@pytest.mark.parametrize("events", [[], [(0.2, 50.0, None, None)], [(30.0, 1.0, None, None)]])
def test_at_the_beginning_nothing_is_known(events):
    assert told(*events).left(max((at for at, *_ in events), default=0.0)) is None


def test_a_share_that_stands_still_while_a_stage_counts_on_gives_way_to_the_stage():
    estimate = told((5.0, 41.0, None, None), *((at, 41.0, "visualizations", (at, 100)) for at in range(6, 41)))
    assert estimate.left(40.0) == pytest.approx(60, rel=0.05)


def test_a_job_of_which_nothing_is_heard_is_not_estimated():
    estimate = told((5.0, 41.0, None, None), (10.0, 41.0, "images", (10, 10)))
    assert estimate.left(30.0) is None


def test_a_hiccup_moves_the_estimate_little_and_a_lasting_change_moves_it_much():
    pace = Throughput(began=0.0)
    for at in range(1, 51):
        pace.take(at, at)
    before = pace.left(50.0, 100)
    pace.take(51.0, 60)
    assert pace.left(51.0, 100) > before / 2
    for at in range(52, 80):
        pace.take(at, 60 + (at - 51) * 0.1)
    assert pace.left(79.0, 100) > (100 - 62.8) * 1.2


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 100),
        st.none() | st.floats(0, 100),
        st.none() | st.sampled_from(["images", "metrics"]),
        st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=30,
)


@given(EVENTS, st.floats(0, 1000))
def test_whatever_is_told_the_estimate_is_none_or_a_time_to_come(events, later):
    estimate = told(*sorted(events, key=lambda event: event[0]))
    left = estimate.left(max((at for at, *_ in events), default=0.0) + later)
    assert left is None or (left >= 0 and math.isfinite(left))
