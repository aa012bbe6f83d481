"""Sizes and times read the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.output import amounts
from exportctl.output.pace import may_write, should_draw, should_write


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.4, "999 B"),
        (999.6, "1.00 kB"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_995, "10.0 kB"),
        (9_999, "10.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (482_158, "482 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (48_200_000, "48.2 MB"),
        (1.5e9, "1.50 GB"),
        (2**63, "9.22 EB"),
        (1e30, "1000000000000 EB"),
    ],
)
def test_a_size_has_three_digits_and_an_si_unit(count, text):
    assert amounts.size(count) == text


def test_a_part_is_told_in_the_unit_of_its_whole():
    assert amounts.size_of(1_230_000, 48_200_000) == "1.2/48.2 MB"
    assert amounts.size_of(0, 482_158) == "0/482 kB"
    assert amounts.size_of(0, 0) == "0/0 B"
    assert amounts.rate(5_020_000) == "5.02 MB/s"


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_a_part_keeps_the_shape_of_its_whole(one, other):
    part, whole = min(one, other), max(one, other)
    said = amounts.size_of(part, whole).split(" ")[0].split("/")
    assert len(said[0]) <= len(said[1])
    assert len(said[1]) <= 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (0, "0:00"), (59.9, "0:59"), (754, "12:34"), (3723, "1:02:03"), (359_999, "99:59:59")],
)
def test_a_time_to_go_is_a_clock(seconds, text):
    assert amounts.clock(seconds) == text


def test_an_absurd_time_to_go_stays_short():
    assert amounts.clock(1e300) == ">99 h"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (3.24, "3.2 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")],
)
def test_a_time_that_passed_is_in_words(seconds, text):
    assert amounts.duration(seconds) == text


@pytest.mark.parametrize(
    ("now", "last", "has_changed", "due"),
    [
        (0.0, None, False, True),
        (0.05, 0.0, True, False),
        (0.1, 0.0, True, True),
        (0.5, 0.0, False, False),
        (1.0, 0.0, False, True),
    ],
)
def test_bars_are_drawn_ten_times_a_second_at_most_and_once_at_least(now, last, has_changed, due):
    assert should_draw(now, last, has_changed=has_changed) is due


def test_plain_lines_keep_two_seconds_apart_and_come_every_thirty():
    assert may_write(0.0, None)
    assert not may_write(1.9, 0.0)
    assert may_write(2.0, 0.0)
    assert not should_write(29.9, 0.0)
    assert should_write(30.0, 0.0)
