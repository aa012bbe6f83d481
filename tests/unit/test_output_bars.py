"""The two bars, by what they leave on a screen that obeys what is written to it."""

import io
import os
import re
import termios
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from exportctl.model.lines import (
    ConnectionChanged,
    DownloadProgress,
    ExportCancelled,
    ExportFailedLine,
    ExportProgress,
    ExportStarted,
    Hello,
    Log,
    Numbered,
    Outcome,
    Result,
)
from exportctl.output.bars import BarsSink
from exportctl.output.layout import fit
from exportctl.output.safe import width
from exportctl.protocol.events import StageProgress

OURS = str.maketrans("", "", "\u2068\u2069")
"""The marks around names from right to left."""
_PIECES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|.", re.DOTALL)


class Screen(io.TextIOBase):
    """A terminal in memory: cells, a cursor, and the few movements that bars may use; all else is an error."""

    encoding = "utf-8"

    def __init__(self, columns=80, lines=24):
        self.ours, self.theirs = os.openpty()
        self.cells = {}
        self.row = self.column = 0
        self.writes = 0
        self.raw = ""
        self.resize(columns, lines)

    def resize(self, columns, lines):
        self.columns = columns
        termios.tcsetwinsize(self.theirs, (lines, columns))

    def fileno(self):
        return self.theirs

    def close(self):
        if not self.closed:
            os.close(self.ours)
            os.close(self.theirs)
        super().close()

    def write(self, text):
        self.writes += 1
        self.raw += text
        for piece in _PIECES.findall(text):
            self._obey(piece)
        return len(text)

    def _obey(self, piece):
        if piece == "\r":
            self.column = 0
        elif piece == "\n":
            self.row, self.column = self.row + 1, 0
        elif piece == "\x1b[A":
            self.row = max(self.row - 1, 0)
        elif piece == "\x1b[K":
            self._erase(lambda row, column: row == self.row and column >= self.column)
        elif piece == "\x1b[J":
            self._erase(lambda row, column: (row, column) >= (self.row, self.column))
        elif piece != "\x1b[0m":
            assert piece.translate(OURS).isprintable(), f"the terminal was told {piece!r}"
            self._put(piece)

    def _erase(self, holds):
        self.cells = {place: char for place, char in self.cells.items() if not holds(*place)}

    def _put(self, char):
        if width(char) == 0:
            return
        if self.column + width(char) > self.columns:
            self.row, self.column = self.row + 1, 0
        self.cells[self.row, self.column] = char
        if width(char) == 2:
            self.cells[self.row, self.column + 1] = ""
        self.column += width(char)

    @property
    def rows(self):
        last = max((row for row, _ in self.cells), default=-1)
        rows = []
        for row in range(last + 1):
            columns = [column for at, column in self.cells if at == row]
            rows.append("".join(self.cells.get((row, column), " ") for column in range(max(columns, default=-1) + 1)))
        return [row.rstrip() for row in rows]


class Bench:
    """A sink on a screen, with a clock that the test moves."""

    def __init__(self, columns=80, lines=24):
        self.screen = Screen(columns, lines)
        self.now = 0.0
        self.sink = BarsSink(self.screen, lambda: self.now)
        self.numbers = count(1)

    def take(self, *lines):
        for line in lines:
            self.sink.take(Numbered(seq=next(self.numbers), timestamp="", elapsed=0.0, correlation_id="", line=line))

    def draw(self, *lines):
        self.take(*lines)
        self.now += 1.0
        self.sink.tick()
        return self.screen.rows


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


def progress(percent, current=5, item="cell_005.jpg", job="job-one-of-many"):
    return ExportProgress(
        job_id=job,
        phase="processing",
        progress=percent,
        stage="visualizations",
        stage_progress=StageProgress(current=current, total=12, item=item),
        estimated_time_remaining=13.0,
    )


def download(percent, got, job="job-one-of-many"):
    return DownloadProgress(
        job_id=job,
        phase="downloading",
        progress=percent,
        bytes=got,
        total_bytes=48_200_000,
        bytes_per_second=5_020_000.0,
        estimated_time_remaining=8.0,
    )


def completed(job="job-one-of-many", **more):
    facts = {"file": "/data/x.zip", "bytes": 48_200_000, "verified": True} | more
    return Result(job_id=job, outcome=Outcome.COMPLETED, exit_code=0, **facts)


def test_both_bars_are_there_from_the_first_moment(open_bench):
    bench = open_bench()
    bench.sink.tick()
    assert bench.screen.rows == ["Processing  waiting", "Downloading waiting"]
    bench.sink.close()


def test_the_bars_say_what_the_latest_lines_said(open_bench):
    bench = open_bench()
    assert bench.draw(progress(41.5), download(25.5, 12_300_000)) == [
        "Processing   41%|██████▏        | visualizations  5/12  ETA 0:12  cell_005.jpg",
        "Downloading  25%|███▊           | 12.3/48.2 MB  5.02 MB/s  ETA 0:07",
    ]
    bench.sink.close()


def test_the_time_to_go_counts_down_between_lines(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    assert "ETA 0:11" in bench.draw()[0]
    assert "ETA 0:10" in bench.draw()[0]
    bench.sink.close()


def test_a_line_draws_nothing_and_drawings_keep_their_distance(open_bench):
    bench = open_bench()
    bench.draw()
    writes = bench.screen.writes
    for number in range(1000):
        bench.take(progress(number / 10))
        bench.now += 0.001
        bench.sink.tick()
    assert bench.screen.writes - writes <= 11
    bench.sink.close()


def test_a_drawing_is_one_write(open_bench):
    bench = open_bench()
    bench.draw(progress(1.0))
    writes = bench.screen.writes
    bench.draw(progress(2.0), ConnectionChanged(state="polling", protocol=2))
    assert bench.screen.writes == writes + 1
    bench.sink.close()


def test_the_last_state_is_drawn_whenever_it_came(open_bench):
    bench = open_bench()
    bench.draw(progress(1.0))
    bench.take(progress(90.0, 11, "cell_011.jpg"), download(99.0, 48_000_000), completed())
    bench.sink.close()
    assert bench.screen.rows == [
        "Processing  100%|███████████████| done",
        "Downloading 100%|███████████████| 48.2 MB  verified",
        "Saved /data/x.zip (48.2 MB, verified)",
    ]
    assert (bench.screen.row, bench.screen.column) == (3, 0)


def test_the_last_state_is_drawn_though_nothing_was_before(open_bench):
    bench = open_bench()
    bench.take(progress(41.0))
    bench.sink.close()
    assert bench.screen.rows[0].startswith("Processing   41%|")


def test_a_command_that_ends_before_it_has_a_job_leaves_no_bars(open_bench):
    bench = open_bench()
    bench.draw(Hello(version="0", command="run", server=None))
    bench.sink.close()
    assert bench.screen.rows == []
    assert (bench.screen.row, bench.screen.column) == (0, 0)


def test_a_cancelled_job_keeps_its_share_and_says_so(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    bench.take(
        ExportCancelled(job_id="job-one-of-many", cancelled_by="user", cleanup_completed=True, message=None),
        Result(job_id="job-one-of-many", outcome=Outcome.CANCELLED, exit_code=130),
    )
    bench.sink.close()
    assert bench.screen.rows == [
        "cancelled by user; the server says that it has cleaned up",
        "Processing   41%|██████▏        | cancelled  visualizations  5/12",
        "Downloading not started",
    ]


def test_messages_stand_above_the_bars_and_once(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    lost = ConnectionChanged(state="reconnecting", protocol=2, reason="reset by peer", retry_in=2.0)
    remark = Log(job_id="job-one-of-many", level="warning", code="slow", message="the server is slow")
    bench.draw(lost, remark, lost, remark)
    rows = bench.draw(ConnectionChanged(state="connected", protocol=2), remark)
    assert rows[:3] == [
        "connection lost, reconnecting in 2.0 s: reset by peer",
        "warning: the server is slow",
        "connected (protocol 2)",
    ]
    assert rows[3].startswith("Processing   41%|")
    assert rows[4:] == ["Downloading waiting"]
    bench.sink.close()


def test_the_first_connection_is_no_news(open_bench):
    bench = open_bench()
    assert len(bench.draw(ConnectionChanged(state="connected", protocol=2))) == 2
    bench.sink.close()


def test_a_flood_of_messages_is_cut_and_counted(open_bench):
    bench = open_bench(lines=24)
    bench.take(*(Log(level="info", code="x", message=f"remark {number}") for number in range(1000)))
    bench.sink.close()
    assert len(bench.screen.rows) == 101
    assert bench.screen.rows[-1] == "and 900 more messages"


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


def test_each_of_several_jobs_has_its_bars_and_leaves_them_above_when_it_ends(open_bench):
    bench = open_bench()
    rows = bench.draw(progress(10.0, job="aaaaaaaa-1"), progress(20.0, job="bbbbbbbb-2"))
    assert [row[:25] for row in rows] == [
        "aaaaaaaa Processing   10%",
        "aaaaaaaa Downloading wait",
        "bbbbbbbb Processing   20%",
        "bbbbbbbb Downloading wait",
    ]
    rows = bench.draw(completed("aaaaaaaa-1", warnings=("one", "two")), progress(30.0, job="bbbbbbbb-2"))
    assert [row[:25] for row in rows] == [
        "aaaaaaaa Processing  100%",
        "aaaaaaaa Downloading 100%",
        "Saved /data/x.zip (48.2 M",
        "  one",
        "  two",
        "bbbbbbbb Processing   30%",
        "bbbbbbbb Downloading wait",
    ]
    bench.take(completed("bbbbbbbb-2"))
    bench.sink.close()
    assert [row[:25] for row in bench.screen.rows[5:]] == [
        "bbbbbbbb Processing  100%",
        "bbbbbbbb Downloading 100%",
        "Saved /data/x.zip (48.2 M",
    ]


def test_more_jobs_than_the_window_has_rows_are_shown_as_room_comes(open_bench):
    bench = open_bench(80, 8)
    jobs = [f"job{number}-----" for number in range(6)]
    rows = bench.draw(*(progress(10.0, job=job) for job in jobs))
    assert len(rows) == 5
    assert rows[-1].strip() == "and 4 more jobs"
    rows = bench.draw(completed(jobs[0]))
    assert rows[-2].startswith("job2")
    assert rows[-1].strip() == "and 3 more jobs"
    for job in jobs[1:]:
        bench.take(completed(job))
    bench.sink.close()
    assert sum("Processing  100%" in row for row in bench.screen.rows) == 6


def test_of_two_hundred_jobs_those_that_run_are_shown_and_the_rest_is_counted(open_bench):
    bench = open_bench(80, 24)
    rows = bench.draw(
        *(ExportStarted(job_id=f"wait{number:04}", options=None, project_name="n") for number in range(196)),
        *(progress(10.0, job=f"run{number}-----") for number in range(4)),
    )
    assert len(rows) == 21
    assert [row[:4] for row in rows[:8:2]] == ["run0", "run1", "run2", "run3"]
    assert rows[-1].strip() == "and 190 more jobs"
    bench.sink.close()


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


def test_no_thread_watches_over_the_bars(open_bench):
    bench = open_bench()
    bench.draw()
    assert tqdm.monitor is None
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
