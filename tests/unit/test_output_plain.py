"""Plain lines, byte for byte, under a clock that the test moves."""

import io
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.lines import (
    ConnectionChanged,
    DownloadProgress,
    ErrorDetails,
    ExportCancelled,
    ExportFailedLine,
    ExportPhaseChanged,
    ExportProgress,
    ExportStarted,
    Heartbeat,
    Log,
    Numbered,
    Outcome,
    Result,
    Seconds,
)
from exportctl.output.plain import PlainSink
from exportctl.protocol.events import StageProgress

OURS = str.maketrans("", "", "\u2068\u2069")
"""The marks around names from right to left."""
JOB = "6f0c2b7e-1111"


class Bench:
    """A plain sink with a clock that the test moves. 05:41:00 is second 0."""

    def __init__(self):
        self.stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        self.now = 0.0
        begin = datetime(2026, 11, 24, 5, 41, tzinfo=UTC)
        self.sink = PlainSink(self.stream, lambda: self.now, lambda: begin + timedelta(seconds=self.now))
        self.numbers = count(1)

    def take(self, *lines):
        for line in lines:
            self.sink.take(Numbered(seq=next(self.numbers), timestamp="", elapsed=0.0, correlation_id="", line=line))

    def until(self, second):
        """Let the ticker run, twice a second, until `second`."""
        while self.now < second:
            self.now += 0.5
            self.sink.tick()

    @property
    def written(self):
        self.stream.flush()
        return self.stream.buffer.getvalue().decode()


@pytest.fixture
def bench():
    return Bench()


def progress(percent, stage, current, job=JOB):
    return ExportProgress(
        job_id=job,
        phase="processing",
        progress=percent,
        stage=stage,
        stage_progress=StageProgress(current=current, total=12, item=f"cell_{current:03}.jpg"),
        estimated_time_remaining=12.0,
    )


def started(job=JOB):
    return ExportStarted(job_id=job, options=None, project_name="nuclei")


def completed(job=JOB, **more):
    facts = {
        "file": "/data/nuclei-6f0c2b7e.zip",
        "bytes": 482_158,
        "verified": True,
        "seconds": Seconds(total=3.24),
    } | more
    return Result(job_id=job, outcome=Outcome.COMPLETED, exit_code=0, **facts)


def test_a_whole_run(bench):
    bench.take(ConnectionChanged(state="connected", protocol=2), started())
    bench.until(1)
    bench.take(progress(5.0, "images", 1))
    bench.until(3)
    bench.take(progress(20.0, "images", 6))
    bench.until(10)
    bench.take(progress(40.0, "visualizations", 2))
    bench.until(45)
    bench.take(
        ExportPhaseChanged(job_id=JOB, from_phase="processing", to_phase="downloading", message=None, progress=100)
    )
    bench.take(
        DownloadProgress(
            job_id=JOB,
            phase="downloading",
            progress=25.0,
            bytes=120_540,
            total_bytes=482_158,
            bytes_per_second=5_020_000.0,
            estimated_time_remaining=1.0,
        )
    )
    bench.until(46)
    bench.take(completed(warnings=("cell_003.jpg has no polygons",)))
    bench.sink.close()
    assert bench.written == (
        "2026-11-24 05:41:00 started nuclei (job 6f0c2b7e)\n"
        "2026-11-24 05:41:02 processing 5%, images, 1/12, ETA 0:11, cell_001.jpg\n"
        "2026-11-24 05:41:10 processing 40%, visualizations, 2/12, ETA 0:12, cell_002.jpg\n"
        "2026-11-24 05:41:40 processing 40%, visualizations, 2/12, cell_002.jpg\n"
        "2026-11-24 05:41:45 processing 100%, done; downloading 25%, 121/482 kB, 5.02 MB/s, ETA 0:01\n"
        "2026-11-24 05:41:46 Saved /data/nuclei-6f0c2b7e.zip (482 kB, verified) in 3.2 s, 1 warning:\n"
        "  cell_003.jpg has no polygons\n"
    )


def test_a_stage_entered_again_is_no_news(bench):
    bench.take(progress(1.0, "images", 1))
    bench.until(5)
    bench.take(progress(2.0, "visualizations", 1))
    bench.until(10)
    before = bench.written
    bench.take(progress(3.0, "images", 2))
    bench.until(15)
    assert bench.written == before


def test_never_more_than_one_line_in_two_seconds(bench):
    for number in range(200):
        bench.take(progress(number / 4, f"stage {number}", 1))
        state = "polling" if number % 2 else "reconnecting"
        bench.take(ConnectionChanged(state=state, protocol=2))
        bench.now += 0.1
        bench.sink.tick()
    seconds = [int(line[17:19]) for line in bench.written.splitlines()]
    assert len(seconds) == 10
    assert all(later - earlier >= 2 for earlier, later in pairwise(seconds))


def test_something_is_said_every_thirty_seconds_of_silence(bench):
    bench.take(started())
    bench.until(95)
    assert [line[14:19] for line in bench.written.splitlines()] == ["41:00", "41:30", "42:00", "42:30"]


def test_a_heartbeat_says_what_is_waited_for(bench):
    bench.take(started())
    bench.until(20)
    bench.take(Heartbeat(waiting_for="the slot of another export"))
    bench.until(31)
    assert bench.written.splitlines()[1] == "2026-11-24 05:41:30 waiting for the slot of another export"


def test_the_connection_s_changes_are_told_with_their_reason(bench):
    bench.take(ConnectionChanged(state="reconnecting", protocol=2, reason="reset\nby peer", retry_in=1.5))
    bench.take(ConnectionChanged(state="reconnecting", protocol=2, reason="again", attempt=2))
    bench.until(3)
    bench.take(ConnectionChanged(state="polling", protocol=2), ConnectionChanged(state="polling", protocol=2))
    bench.until(6)
    bench.take(ConnectionChanged(state="connected", protocol=2))
    bench.until(9)
    bench.take(ConnectionChanged(state="closed", protocol=2))
    assert bench.written == (
        "2026-11-24 05:41:00 connection lost, reconnecting in 1.5 s: reset …\n"
        "2026-11-24 05:41:03 no socket connection, asking by polling\n"
        "2026-11-24 05:41:06 connected (protocol 2)\n"
        "2026-11-24 05:41:09 connection closed\n"
    )


FAILED = ExportFailedLine(
    job_id=JOB, error="disk full\nat /srv/x.js:3", code=None, hint=None, stage=None, retryable=None
)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((FAILED, Result(job_id=JOB, outcome=Outcome.FAILED, exit_code=3)), "failed: disk full …"),
        (
            (
                ExportCancelled(job_id=JOB, cancelled_by="eva", cleanup_completed=False, message=None),
                Result(job_id=JOB, outcome=Outcome.CANCELLED, exit_code=10),
            ),
            "cancelled by eva; the server has not cleaned up",
        ),
        ((Result(job_id=JOB, outcome=Outcome.CANCELLED, exit_code=10),), "cancelled"),
        ((Result(job_id=JOB, outcome=Outcome.DETACHED, exit_code=0),), "detached"),
        (
            (
                Result(
                    job_id=JOB,
                    outcome=Outcome.ERROR,
                    exit_code=7,
                    error=ErrorDetails(code="UNREACHABLE", message="no answer", hint=None),
                ),
            ),
            "stopped: no answer",
        ),
        ((completed(file=None, bytes=None, verified=None),), "Completed in 3.2 s"),
        ((completed(file=None),), "Sent the archive (482 kB, verified) in 3.2 s"),
    ],
)
def test_an_end_is_told_at_once_and_once(bench, lines, said):
    bench.take(started(), *lines)
    bench.sink.close()
    assert bench.written == f"2026-11-24 05:41:00 started nuclei (job 6f0c2b7e)\n2026-11-24 05:41:00 {said}\n"


def test_a_result_without_a_job_is_left_to_the_error_message(bench):
    bench.take(Result(outcome=Outcome.ERROR, exit_code=7))
    bench.sink.close()
    assert bench.written == ""


def test_many_warnings_are_cut_and_counted(bench):
    bench.take(completed(warnings=tuple(f"warning {number}" for number in range(25))))
    lines = bench.written.splitlines()
    assert lines[0].endswith("in 3.2 s, 25 warnings:")
    assert lines[1:] == [f"  warning {number}" for number in range(10)] + ["  and 15 more"]


def test_remarks_are_told_at_once_and_each_once(bench):
    remark = Log(job_id=JOB, level="warning", code="slow", message="the server is slow")
    bench.take(started(), remark, remark, Log(level="info", code="x", message="resumed"))
    assert [line[20:] for line in bench.written.splitlines()[1:]] == ["warning: the server is slow", "resumed"]


def test_a_flood_of_remarks_is_cut_and_counted(bench):
    bench.take(*(Log(level="info", code="x", message=f"{number}") for number in range(1000)))
    bench.sink.close()
    assert len(bench.written.splitlines()) == 101
    assert bench.written.endswith(" and 900 more remarks\n")


def test_several_jobs_are_told_apart(bench):
    bench.take(progress(1.0, "images", 1, job="aaaaaaaa-1"))
    bench.until(3)
    bench.take(progress(2.0, "images", 2, job="bbbbbbbb-2"))
    bench.until(40)
    bench.take(completed("aaaaaaaa-1"))
    assert [line[20:] for line in bench.written.splitlines()] == [
        "processing 1%, images, 1/12, ETA 0:12, cell_001.jpg",
        "bbbbbbbb processing 2%, images, 2/12, ETA 0:12, cell_002.jpg",
        ("aaaaaaaa processing 1%, images, 1/12, cell_001.jpg | bbbbbbbb processing 2%, images, 2/12, cell_002.jpg"),
        "aaaaaaaa Saved /data/nuclei-6f0c2b7e.zip (482 kB, verified) in 3.2 s",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_hostile_text_stays_on_its_line_and_does_nothing(text):
    bench = Bench()
    bench.take(
        ExportStarted(job_id=JOB, options=None, project_name=text),
        Log(level="warning", code="x", message=text),
        ConnectionChanged(state="polling", protocol=2, reason=text),
    )
    bench.now = 5.0
    bench.take(progress(1.0, text, 1), Heartbeat(waiting_for=text))
    bench.until(80)
    bench.take(ExportFailedLine(job_id=JOB, error=text, code=None, hint=None, stage=None, retryable=None))
    lines = bench.written.split("\n")
    assert lines.pop() == ""
    assert all(line.startswith("2026-11-24 05:4") and line.translate(OURS).isprintable() for line in lines)
