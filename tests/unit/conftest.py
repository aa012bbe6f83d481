"""Bars and a clock for the tests, and the look at what they leave behind."""

import pytest
from tqdm import tqdm

from unit.bars_on_screen import Bench


@pytest.fixture
def open_bench():
    opened = []

    def start(columns=80, lines=24):
        opened.append(Bench(columns, lines))
        return opened[-1]

    yield start
    for bench in opened:
        bench.screen.close()


@pytest.fixture(autouse=True)
def no_bar_is_leaked():
    yield
    leaked = list(tqdm._instances)
    for bar in leaked:
        bar.close()
    assert not leaked, "a bar was left open"


class Clock:
    """A clock that stands still unless a test moves its `time`."""

    def __init__(self):
        self.time = 1_000_000_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()
