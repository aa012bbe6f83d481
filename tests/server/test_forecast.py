"""The time a job still takes: right for what goes on evenly, whatever it was expected to cost, and never wild."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.effort import efforts, image_effort
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.tasks import Plan, steps
from exportctl.server.forecast import Forecast

ALL = ExportOptions(annotations=("coco", "yolo", "json"), metrics=("excel", "csv", "json"))


def played(forecast, work, *, hands=2, until=math.inf):
    """Do steps (group, effort, seconds) in their order; returns the time, and what is left for truth and forecast."""
    waiting, out, now = list(enumerate(work)), {}, forecast.began
    while waiting or out:
        while waiting and len(out) < hands:
            number, (group, effort, seconds) = waiting.pop(0)
            forecast.begin(now, number, group, effort)
            out[number] = now + seconds
        number = min(out, key=out.get)
        if out[number] > until:
            break
        now = out.pop(number)
        forecast.end(now, number)
    rest = sum(end - now for end in out.values()) + sum(seconds for _, (*_, seconds) in waiting)
    return now, rest / hands


@pytest.mark.parametrize("off", [0.1, 1.0, 30.0])
def test_what_goes_on_evenly_is_foreseen_whatever_it_was_expected_to_cost(off):
    work = [("images", 1.0, off)] * 200
    forecast = Forecast(began=5.0, hands=2, efforts={"images": 200.0})
    now, rest = played(forecast, work, until=5.0 + 40 * off)
    assert forecast.left(now) == pytest.approx(rest, rel=0.05)


def test_images_of_many_sizes_are_weighed_by_what_they_cost():
    work = [("images", 1.0, 0.5)] * 100 + [("images", 20.0, 10.0)] * 20
    forecast = Forecast(began=0.0, hands=2, efforts={"images": 500.0})
    now, rest = played(forecast, work, until=25.0)
    assert forecast.left(now) == pytest.approx(rest, rel=0.05)


def test_a_group_that_comes_last_is_foreseen_from_the_others():
    work = [("images", 1.0, 0.2)] * 100 + [("csv table", 30.0, 6.0)]
    forecast = Forecast(began=0.0, hands=1, efforts={"images": 100.0, "csv table": 30.0})
    now, rest = played(forecast, work, hands=1, until=10.0)
    assert forecast.left(now) == pytest.approx(rest, rel=0.05)


def test_a_machine_that_becomes_slow_shows_in_what_is_left():
    work = [("images", 1.0, 0.2)] * 100 + [("images", 1.0, 0.8)] * 200
    forecast = Forecast(began=0.0, hands=2, efforts={"images": 300.0})
    now, rest = played(forecast, work, until=40.0)
    assert forecast.left(now) == pytest.approx(rest, rel=0.2)


def test_steps_that_an_earlier_server_did_are_not_left_and_say_nothing_of_the_pace():
    forecast = Forecast(began=0.0, hands=1, efforts={"images": 100.0})
    forecast.skip("images", 80.0)
    assert forecast.left(10.0) is None
    now, _ = played(forecast, [("images", 1.0, 1.0)] * 20, hands=1, until=10.0)
    assert forecast.left(now) == pytest.approx(10, rel=0.1)


def test_one_long_step_is_waited_for_however_many_hands_there_are():
    forecast = Forecast(began=0.0, hands=8, efforts={"images": 8.0, "excel table": 50.0})
    for number in range(8):
        forecast.begin(0.0, number, "images", 1.0)
        forecast.end(1.0, number)
    forecast.begin(1.0, 9, "excel table", 50.0)
    assert forecast.left(11.0) == pytest.approx(40, rel=0.05)


def test_nothing_is_said_at_the_beginning_nor_from_the_first_small_thing():
    forecast = Forecast(began=0.0, hands=2, efforts={"rows": 1.0, "images": 100.0})
    assert forecast.left(100.0) is None
    forecast.begin(0.0, 1, "rows", 0.5)
    forecast.end(0.6, 1)
    assert forecast.left(0.6) is None


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(1e-6, 1e6), st.floats(0, 1e6)), max_size=30),
    st.integers(1, 64),
    st.floats(0, 1e9),
)
def test_whatever_is_done_what_is_left_is_none_or_a_time_to_come(work, hands, later):
    forecast = Forecast(began=0.0, hands=hands, efforts={"a": 1.0, "b": 1e9, "c": 0.0})
    now, _ = played(forecast, work, hands=hands, until=1e6)
    left = forecast.left(now + later)
    assert left is None or (left >= 0 and math.isfinite(left))


def test_every_step_of_an_export_has_its_share_of_what_its_group_costs():
    plan = Plan(folder="/x", file="/x/plan", count=100, polygons=700, points=9_000, pixels=100_000)
    whole, found = efforts(plan, ALL), {}
    for step in steps(plan, ALL, "/parts"):
        assert step.effort > 0
        found[step.group] = found.get(step.group, 0) + step.effort
    assert found == pytest.approx(whole)
    each = sum(image_effort(1_000, 90, ALL) for _ in range(100))
    assert whole["images"] == pytest.approx(each)
