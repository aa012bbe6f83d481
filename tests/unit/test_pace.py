"""The numbers of a download: what a person and a script may rely on, whatever the bytes do. No clock runs here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.client.pace import EVERY, Pace


class Clock:
    def __init__(self):
        self.now = 100.0
        self.slept = []

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def pace_of(clock, lines, *, limit=None):
    return Pace(
        job_id="j", project_id="p", tell=lines.append, monotonic=clock.monotonic, sleep=clock.sleep, limit=limit
    )


def test_it_begins_and_ends_with_a_line_and_tells_a_few_a_second_between(clock):
    lines = []
    pace = pace_of(clock, lines)
    pace.begin(0, 1000)
    for size in range(10, 1001, 10):
        clock.now += 0.01
        pace.at(size)
    pace.finish(1000)
    assert (lines[0].bytes, lines[0].progress) == (0, 0.0)
    assert (lines[-1].bytes, lines[-1].total_bytes, lines[-1].progress) == (1000, 1000, 100.0)
    assert len(lines) <= 2 + 1 / EVERY
    assert lines[-1].bytes_per_second == 1000


def test_every_line_is_of_the_phase_downloading_and_says_whose(clock):
    lines = []
    pace_of(clock, lines).begin(0, 10)
    line = lines[0]
    assert (line.phase, line.job_id, line.project_id, line.source) == ("downloading", "j", "p", "client")
    assert (line.template, line.data) == ("export.phase.downloading", {"bytes": 0, "totalBytes": 10})
    assert (line.bytes_per_second, line.estimated_time_remaining) == (None, None)


def test_without_a_size_there_is_no_percentage_until_the_end(clock):
    lines = []
    pace = pace_of(clock, lines)
    pace.begin(0, None)
    clock.now += 1
    pace.at(500)
    pace.finish(700)
    assert [(line.progress, line.total_bytes) for line in lines] == [(None, None), (None, None), (100.0, 700)]
    assert [line.estimated_time_remaining for line in lines] == [None, None, 0.0]


def test_a_download_begun_anew_falls_in_bytes_and_waits_in_progress(clock):
    lines = []
    pace = pace_of(clock, lines)
    pace.begin(0, 1000)
    for size in (600, 0, 200, 700):
        clock.now += 1
        if size:
            pace.at(size)
        else:
            pace.begin(0, 1000)
    assert [line.bytes for line in lines] == [0, 600, 0, 200, 700]
    assert [line.progress for line in lines] == [0.0, 60.0, 60.0, 60.0, 70.0]


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 2000)), max_size=30),
    total=st.none() | st.integers(0, 1000),
)
def test_progress_never_falls_and_no_number_is_nonsense(steps, total):
    clock, lines = Clock(), []
    pace = pace_of(clock, lines)
    pace.begin(0, total)
    for seconds, size in steps:
        clock.now += seconds
        pace.at(size)
    pace.finish(total or 0)
    progress = [line.progress for line in lines if line.progress is not None]
    assert progress == sorted(progress)
    assert all(0 <= percent <= 100 for percent in progress)
    assert all(line.bytes_per_second is None or line.bytes_per_second >= 0 for line in lines)
    assert all(line.estimated_time_remaining is None or line.estimated_time_remaining >= 0 for line in lines)


def test_what_was_there_already_is_no_speed(clock):
    lines = []
    pace = pace_of(clock, lines)
    pace.begin(900, 1000)
    clock.now += 1
    pace.at(950)
    clock.now += 1
    pace.finish(1000)
    assert [line.bytes_per_second for line in lines] == [None, 50, 50]


async def test_a_limit_holds_the_mean_rate_to_it(clock):
    pace = pace_of(clock, [], limit=1000.0)
    pace.begin(0, 10_000)
    for size in range(500, 10_001, 500):
        clock.now += 0.1
        pace.at(size)
        await pace.hold()
    assert clock.now - 100.0 == pytest.approx(10.0)
    assert sum(clock.slept) == pytest.approx(8.0)


async def test_a_slow_line_is_not_slowed_further(clock):
    pace = pace_of(clock, [], limit=1000.0)
    pace.begin(0, 10_000)
    for size in range(100, 1001, 100):
        clock.now += 1
        pace.at(size)
        await pace.hold()
    assert clock.slept == []


async def test_a_limit_does_not_count_what_was_there_already(clock):
    pace = pace_of(clock, [], limit=1000.0)
    pace.begin(9_000, 10_000)
    pace.at(9_500)
    await pace.hold()
    assert clock.slept == [0.5]


async def test_after_a_stall_the_limit_is_not_made_up_for_by_a_burst(clock):
    """A limit is there for others on the line: a minute's silence is no licence for a minute's bytes at once."""
    pace = pace_of(clock, [], limit=1000.0)
    pace.begin(0, 1_000_000)
    clock.now += 60
    for size in range(1000, 20_001, 1000):
        pace.at(size)
        await pace.hold()
    assert sum(clock.slept) >= 17


async def test_without_a_limit_nothing_waits(clock):
    pace = pace_of(clock, [])
    pace.begin(0, 10)
    pace.at(10)
    await pace.hold()
    assert clock.slept == []
