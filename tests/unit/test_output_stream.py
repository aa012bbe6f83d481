"""The stream numbers every line and hands it on at once; those of events that came at once, at once."""

from datetime import UTC, datetime

import pytest

from exportctl.model.lines import Log
from exportctl.output.stream import AT_ONCE, Stream


class Sink:
    def __init__(self):
        self.taken = []

    def take(self, *numbered):
        self.taken.append([(one.seq, one.elapsed, one.line.message) for one in numbered])

    def tick(self):
        pass

    def close(self):
        pass


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def stream(sink):
    clock, now = iter(range(100)), datetime(2026, 3, 1, tzinfo=UTC)
    return Stream(sinks=[sink], correlation_id="c", monotonic=lambda: next(clock) / 2, now=lambda: now)


def remark(message):
    return Log(level="info", code="x", message=message)


def test_a_line_is_handed_on_as_soon_as_it_is_told(stream, sink):
    stream.tell(remark("one"))
    assert sink.taken == [[(1, 0.5, "one")]]


def test_lines_told_together_are_handed_on_together_in_order(stream, sink):
    stream.tell(remark("one"))
    with stream.together():
        stream.tell(remark("two"))
        stream.tell(remark("three"))
        assert len(sink.taken) == 1
    stream.tell(remark("four"))
    assert sink.taken == [[(1, 0.5, "one")], [(2, 1.0, "two"), (3, 1.0, "three")], [(4, 1.5, "four")]]


def test_very_many_lines_told_together_are_handed_on_in_parts(stream, sink):
    with stream.together():
        for number in range(2 * AT_ONCE + 1):
            stream.tell(remark(str(number)))
        assert [len(lines) for lines in sink.taken] == [AT_ONCE, AT_ONCE]
    assert [seq for lines in sink.taken for seq, _, _ in lines] == list(range(1, 2 * AT_ONCE + 2))


def test_what_was_told_before_a_failure_is_handed_on(stream, sink):
    def tell_and_fail():
        with stream.together():
            stream.tell(remark("one"))
            raise KeyError

    with pytest.raises(KeyError):
        tell_and_fail()
    stream.tell(remark("two"))
    assert [message for lines in sink.taken for _, _, message in lines] == ["one", "two"]


def test_nothing_told_is_nothing_handed_on(stream, sink):
    with stream.together():
        pass
    assert sink.taken == []
