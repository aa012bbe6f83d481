"""The end of a job and its download together: that of the processing while the download keeps up, else its own."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.whole import whole_left

FACTS = {"processing": 60.0, "elapsed": 40.0, "written": 40_000_000, "fetched": 39_000_000, "rate": 1e6}


def test_who_keeps_up_is_done_a_little_after_the_processing():
    assert whole_left(**FACTS) == pytest.approx(61)


def test_who_falls_behind_has_the_rest_of_a_growing_archive_before_him():
    assert whole_left(**{**FACTS, "fetched": 10_000_000, "rate": 0.25e6}) == pytest.approx(90e6 / 0.25e6)
    assert whole_left(**{**FACTS, "fetched": 10_000_000, "rate": 1e7}) == pytest.approx(60 + 0, abs=3)


def test_a_beginning_of_a_moment_is_no_measure_of_the_whole():
    early = {"processing": 80.0, "elapsed": 0.03, "written": 3_000_000, "fetched": 1_000_000, "rate": 200_000.0}
    assert whole_left(**early) == pytest.approx(90)


def test_without_an_end_of_the_processing_there_is_none_of_the_whole():
    assert whole_left(**{**FACTS, "processing": None}) is None


@pytest.mark.parametrize("lack", [{"written": None}, {"rate": None}, {"rate": 0.0}, {"elapsed": 0.0}])
def test_where_the_download_is_not_known_the_processing_is_all(lack):
    assert whole_left(**{**FACTS, **lack}) == 60


@given(
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.none() | st.integers(0, 10**15),
    st.integers(0, 10**15),
    st.none() | st.floats(1, 1e12),
)
def test_it_is_never_less_than_the_processing(processing, elapsed, written, fetched, rate):
    left = whole_left(processing=processing, elapsed=elapsed, written=written, fetched=fetched, rate=rate)
    assert processing <= left
    assert math.isfinite(left)
