"""The time left: right for what goes on evenly, silent where nothing is known, never negative, never wild."""

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.model.eta import WEIGHTS, Estimate, Throughput, Usual, wanted_of
from exportctl.protocol.events import StageProgress


def told(*events, began=0.0, **facts):
    estimate = Estimate(began=began, **facts)
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


DRAWING = frozenset({"visualizations", "compression"})
FULL = (
    (0.0, 0.0, None, None),
    (0.1, 5.0, None, None),
    (8.0, 14.0, "images", (60, 120)),
    (8.1, 23.0, "images", (120, 120)),
    (12.0, 41.0, None, None),
    *((12 + 10 * at, 9.5, "visualizations", (30 * at, 120)) for at in range(1, 5)),
    (52.0, 59.0, "visualizations", None),
    (52.5, 77.0, "annotations", None),
    (53.0, 95.0, "compression", None),
)
"""A job as a server of protocol 1 tells it; what was told last is silent for 15 s."""


def test_a_share_that_stands_still_while_a_stage_counts_on_gives_way_to_the_stage():
    estimate = told(
        (5.0, 41.0, None, None), *((at, 41.0, "visualizations", (at, 100)) for at in range(6, 41)), wanted=DRAWING
    )
    assert estimate.left(40.0) == pytest.approx(60 + 100 * WEIGHTS["compression"], rel=0.05)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.75, 0.9])
def test_a_job_is_foreseen_from_the_stages_that_are_over_though_its_share_goes_backwards(share):
    whole = 68.0
    estimate = told(*(event for event in FULL if event[0] <= share * whole))
    assert estimate.left(share * whole) == pytest.approx((1 - share) * whole, abs=0.1 * whole)


def test_what_an_earlier_job_took_is_known_from_the_first_moment_and_fits_another_number_of_images():
    earlier = told(*FULL, (68.0, 100.0, "compression", None)).learned(68.0)
    assert earlier.images == 120
    assert sum(earlier.seconds.values()) == pytest.approx(68.0)
    assert told(*FULL[:2], usual=earlier).left(0.1) == pytest.approx(68, abs=3)
    half = told(*FULL[:2], (2.0, 14.0, "images", (30, 60)), usual=earlier)
    assert half.left(2.0) == pytest.approx(32, abs=3)


def test_a_job_that_is_joined_in_its_middle_is_judged_by_what_is_seen_of_it():
    joined = told(*((at, 9.5, "visualizations", (at, 100)) for at in range(50, 71)), began=49.0, is_joined=True)
    assert joined.left(70.0) == pytest.approx(30 + 100 * (WEIGHTS["compression"] + WEIGHTS["annotations"]), rel=0.1)
    assert joined.learned(80.0) is None, "what it took before is not known"


def test_stages_that_take_turns_do_not_make_the_estimate_jump():
    """A small one that is slow here says little of the others; seen in a server that works on both in turn."""
    said, estimate = [], told(*FULL[:5])
    for at in range(1, 61):
        stage = "visualizations" if at % 2 else "annotations"
        estimate.take(12.0 + at, 41.0, stage, StageProgress(current=(at + 1) // 2, total=40))
        said.append(estimate.left(12.0 + at))
    assert all(abs(after - before) < 0.2 * before for before, after in itertools.pairwise(said[5:]))


def test_a_stage_that_takes_far_longer_than_foreseen_is_not_estimated_any_more():
    estimate = told(*FULL)
    assert estimate.left(60.0) > 0
    assert estimate.left(200.0) is None


def test_a_job_of_which_nothing_is_heard_is_not_estimated():
    estimate = told((5.0, 41.0, None, None), (10.0, 41.0, "images", (10, 10)), wanted=frozenset({"images"}))
    assert estimate.left(60.0) is None


def test_stages_are_wanted_as_the_options_say_and_any_may_come_where_they_say_nothing():
    asked = {"includeOriginalImages": False, "annotationFormats": [], "metricsFormats": ["csv"]}
    assert wanted_of(asked) == {"visualizations", "metrics", "compression"}
    assert wanted_of(None) is None
    assert wanted_of({}) == set(WEIGHTS)


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
        st.none() | st.sampled_from(["images", "metrics", "compression", "visualizations", "painting"]),
        st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=30,
)


USUAL = st.none() | st.builds(
    Usual,
    seconds=st.dictionaries(st.sampled_from([*WEIGHTS, "painting"]), st.floats(0, 1e6), min_size=1),
    images=st.integers(0, 10),
)


@given(EVENTS, st.floats(0, 1000), USUAL, st.booleans(), st.none() | st.frozensets(st.sampled_from(list(WEIGHTS))))
@example(
    events=[(5e-324, 1.0, None, None), (1.0, 6.0, None, None)], later=0.0, usual=None, is_joined=False, wanted=None
)
def test_whatever_is_told_the_estimate_is_none_or_a_time_to_come(events, later, usual, is_joined, wanted):
    events = sorted(events, key=lambda event: event[0])
    estimate = told(*events, usual=usual, is_joined=is_joined, wanted=wanted)
    now = max((at for at, *_ in events), default=0.0) + later
    left = estimate.left(now)
    assert left is None or (left >= 0 and math.isfinite(left))
    learned = estimate.learned(now)
    assert learned is None or sum(learned.seconds.values()) <= now + 1e-6
