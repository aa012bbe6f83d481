"""Whatever the terminal is, becomes or is told, the rows stay right and nothing but rows reaches it."""

import io
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exportctl.model.lines import (
    ConnectionChanged,
    ExportFailedLine,
    ExportProgress,
    ExportStarted,
    Log,
    Numbered,
)
from exportctl.output.bars import BarsSink
from exportctl.output.layout import fit
from exportctl.output.safe import width
from exportctl.protocol.events import StageProgress
from unit.bars_on_screen import Bench, Screen, download, progress


@pytest.mark.parametrize(("columns", "lines"), [(24, 24), (200, 50), (60, 10)])
def test_the_drawing_after_a_resize_is_right(open_bench, columns, lines):
    bench = open_bench(80, 24)
    bench.draw(progress(41.5), download(20.0, 10_000_000))
    bench.screen.resize(columns, lines)
    resized = bench.draw(progress(42.5), download(25.5, 12_300_000))
    fresh = open_bench(columns, lines)
    assert resized[-2:] == fresh.draw(progress(42.5), download(25.5, 12_300_000))
    assert all(width(row) < columns for row in resized[-2:])
    bench.sink.close()
    fresh.sink.close()


def test_a_terminal_that_does_not_know_its_size_gets_the_usual_one(open_bench):
    bench = open_bench(0, 0)
    bench.screen.columns = 80
    assert bench.draw(progress(41.5))[0].startswith("Processing   41%|██████▏        | visualizations  5/12")
    bench.sink.close()


def test_bars_asked_for_where_no_terminal_is_are_drawn_all_the_same():
    stream = io.StringIO()
    sink = BarsSink(stream, lambda: 0.0)
    sink.tick()
    sink.close()
    assert "Processing  waiting" in stream.getvalue()


class Latin(Screen):
    encoding = "latin-1"


def test_a_terminal_without_unicode_gets_bars_of_ascii():
    screen = Latin()
    sink = BarsSink(screen, lambda: 0.0)
    sink.take(Numbered(seq=1, timestamp="", elapsed=0.0, correlation_id="", line=progress(41.5, item="buňka.jpg" * 9)))
    sink.close()
    assert screen.raw.isascii()
    assert "#######" not in screen.rows[0]
    assert "|######         |" in screen.rows[0]
    screen.close()


def test_an_interrupted_drawing_shows_nothing_and_the_next_one_is_right(open_bench, monkeypatch):
    bench = open_bench()
    bench.draw(progress(41.5))
    before = bench.screen.rows

    def interrupt_the_second(row, *args, **options):
        if row.label == "Downloading":
            raise KeyboardInterrupt
        return fit(row, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr("exportctl.output.bars.fit", interrupt_the_second)
        with pytest.raises(KeyboardInterrupt):
            bench.draw(progress(50.0))
    assert bench.screen.rows == before
    assert [row[:16] for row in bench.draw(progress(60.0))] == ["Processing   60%", "Downloading wait"]
    bench.sink.close()


def test_a_terminal_that_went_away_ends_the_showing_and_nothing_else(open_bench, monkeypatch):
    bench = open_bench()
    bench.draw(progress(41.5))

    def gone(_):
        raise OSError(5, "Input/output error")

    def gone_too():
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(bench.screen, "write", gone)
    monkeypatch.setattr(bench.screen, "fileno", gone_too)
    bench.draw(progress(50.0))
    bench.sink.close()


hostile = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=120),
    st.text("\x1b[]0;mJKHA\r\n\x07\x9b\u202e細e\u0301", max_size=60),
)


@settings(deadline=None, max_examples=60)
@example(columns=24, percents=[2.225073858507e-311], texts=("", "", "", ""))
@given(
    columns=st.sampled_from([24, 80, 200]),
    percents=st.lists(st.floats(0, 100), min_size=1, max_size=5),
    texts=st.tuples(hostile, hostile, hostile, hostile),
)
def test_hostile_text_never_reaches_the_terminal_nor_breaks_the_rows(columns, percents, texts):
    item, stage, name, message = texts
    bench = Bench(columns)
    highest = 0
    for percent in percents:
        rows = bench.draw(
            ExportStarted(job_id="j", options=None, project_name=name),
            ExportProgress(
                job_id="j",
                phase="processing",
                progress=percent,
                stage=stage,
                stage_progress=StageProgress(current=1, total=2, item=item),
            ),
            Log(level="warning", code="x", message=message),
            ConnectionChanged(state="reconnecting", protocol=2, reason=message),
        )
        assert rows[-1] == "Downloading waiting"
        assert rows[-2].startswith("Processing")
        assert width(rows[-2]) < columns
        shown = int(rows[-2][11:16].strip().rstrip("%"))
        assert shown >= highest
        highest = shown
    bench.take(ExportFailedLine(job_id="j", error=message, code=None, hint=None, stage=None, retryable=None))
    bench.sink.close()
    assert bench.screen.rows[-2].startswith("Processing")
    assert not set(bench.screen.raw) & set("\x07\x9b\u202e")
    assert set(re.findall(r"\x1b.{0,2}", bench.screen.raw)) <= {"\x1b[A", "\x1b[J", "\x1b[K", "\x1b[0"}
    bench.screen.close()
