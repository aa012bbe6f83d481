"""Protocol 2's events as facts. Law: whatever a server sends, `decode` returns; what is wrong reads as not said."""

import json
import math
from datetime import datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exportctl.model.encoding import encode
from exportctl.model.job import Job, reduce
from exportctl.model.lines import Numbered, Source
from exportctl.protocol import events, socketio
from exportctl.protocol.dialects import dialect2, reading
from exportctl.protocol.errors import ProtocolError
from exportctl.protocol.events import StageProgress, Unreadable

NAMES = sorted(dialect2._READERS)
KEYS = [
    *("jobId", "projectId", "seq", "timestamp", "correlationId", "projectName", "options", "total", "phase", "stage"),
    *("progress", "stageProgress", "current", "item", "currentItem", "message", "template", "data", "fileName"),
    *("estimatedTimeRemaining", "bytesWritten", "fromPhase", "toPhase", "fileSize", "sha256", "expiresAt", "warnings"),
    *("processingTime", "stages", "error", "code", "hint", "retryable", "cancelledBy", "reason", "cleanupCompleted"),
    *("status", "lastSeq"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, 2**64, -1, 0])
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=12)
    | st.datetimes().map(datetime.isoformat)
)
KEY = st.sampled_from(KEYS) | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=6))
OBJECT = st.dictionaries(KEY, JSON, max_size=12)
ENVELOPE = {
    "jobId": "6f0c2b7e",
    "projectId": "nuclei",
    "seq": 7,
    "timestamp": "2026-03-01T10:20:30.123Z",
    "correlationId": "c-1",
}
READ_ENVELOPE = {
    "job_id": "6f0c2b7e",
    "project_id": "nuclei",
    "seq": 7,
    "timestamp": "2026-03-01T10:20:30.123Z",
    "correlation_id": "c-1",
}


@given(name=st.sampled_from(NAMES) | st.text(max_size=20), data=JSON | OBJECT)
def test_nothing_that_a_server_sends_is_an_error(name, data):
    event = dialect2.decode(name, data)
    assert isinstance(event, events.Event)


USUAL = {
    **ENVELOPE,
    "phase": "processing",
    "stage": "images",
    "progress": 41.5,
    "stageProgress": {"current": 5, "total": 12, "item": "cell_005.jpg", "currentItem": "cell_005.jpg"},
    "message": "Copying images (5/12)",
    "template": "export.stage.images",
    "data": {"current": 5, "total": 12, "fileName": "cell_005.jpg"},
    "estimatedTimeRemaining": 12.5,
    "bytesWritten": None,
}
# All but two or three of the fields as they should be, of the progress itself and of what is in it.
NEARLY_USUAL = st.builds(
    lambda missing, other, inner: {
        key: {**value, **inner} if isinstance(value, dict) else value
        for key, value in ({**USUAL, **other}).items()
        if key not in missing
    },
    st.sets(st.sampled_from(sorted(USUAL)), max_size=2),
    st.dictionaries(st.sampled_from(sorted(USUAL)), JSON, max_size=2),
    st.dictionaries(st.sampled_from(["current", "total", "item", "currentItem", "other"]), JSON, max_size=1),
)


@given(data=NEARLY_USUAL | OBJECT, rest=st.lists(JSON, max_size=1))
def test_the_short_way_of_reading_tells_the_same_lines_as_the_long_one(data, rest):
    body = json.dumps(["export:progress", data, *rest], separators=(",", ":"))
    long = told(socketio.read_event, body)
    assume("infinity" not in long)  # a number beyond a double, under a key that the short way does not look at
    assert told(dialect2.read_event, body) == long


def told(read_event, body):
    """Return the lines of the event that is read from `body`, or the error that it is."""
    try:
        name, args = read_event(body)
    except ProtocolError as error:
        return str(error)
    event = dialect2.decode(name, args[0])
    _, lines = reduce(Job(job_id=event.job_id), event, Source.SOCKET)
    return [
        encode(Numbered(seq=1, timestamp="2026-03-01T10:20:30.123Z", elapsed=0.5, correlation_id="c", line=line))
        for line in lines
    ]


def test_what_is_usual_is_read_the_short_way():
    _, args = dialect2.read_event(json.dumps(["export:progress", USUAL], separators=(",", ":")))
    assert args == (dialect2.decode("export:progress", USUAL),)


@given(name=st.sampled_from(NAMES), data=OBJECT)
def test_what_is_read_is_of_its_type_and_within_its_bounds(name, data):
    event = dialect2.decode(name, data | {"jobId": "j"})
    for count in ("seq", "total", "bytes_written", "file_size", "last_seq"):
        value = getattr(event, count, None)
        assert value is None or (type(value) is int and 0 <= value < 2**53)
    progress = getattr(event, "progress", None)
    assert progress is None or 0.0 <= progress <= 100.0
    for seconds in ("estimated_time_remaining", "processing_time"):
        value = getattr(event, seconds, None)
        assert value is None or (type(value) is float and math.isfinite(value))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "export:started",
            {"projectName": "Nuclei", "options": {"a": [1]}, "total": 24, "cancellable": True, "phase": "processing"},
            events.Started(**READ_ENVELOPE, project_name="Nuclei", options={"a": [1]}, total=24),
        ),
        (
            "export:progress",
            {
                "phase": "processing",
                "stage": "visualizations",
                "progress": 41.5,
                "stageProgress": {"current": 5, "total": 12, "item": "b.png", "currentItem": "b.png"},
                "message": "Generating",
                "template": "export.stage.visualizations",
                "data": {"current": 5},
                "estimatedTimeRemaining": 3,
                "bytesWritten": 4096,
            },
            events.Progress(
                **READ_ENVELOPE,
                phase="processing",
                stage="visualizations",
                progress=41.5,
                stage_progress=StageProgress(current=5, total=12, item="b.png"),
                message="Generating",
                template="export.stage.visualizations",
                data={"current": 5},
                estimated_time_remaining=3.0,
                bytes_written=4096,
            ),
        ),
        (
            "export:phase-changed",
            {"fromPhase": "processing", "toPhase": "downloading", "message": "Ready", "progress": 100},
            events.PhaseChanged(
                **READ_ENVELOPE, from_phase="processing", to_phase="downloading", message="Ready", progress=100.0
            ),
        ),
        (
            "export:download-ready",
            {"fileName": "n.zip", "fileSize": 482158, "sha256": "ab", "expiresAt": "2026-03-02T00:00:00.000Z"},
            events.DownloadReady(
                **READ_ENVELOPE,
                file_name="n.zip",
                file_size=482158,
                sha256="ab",
                expires_at="2026-03-02T00:00:00.000Z",
            ),
        ),
        (
            "export:completed",
            {"warnings": ["no polygons: a.png"], "processingTime": 3.2, "stages": {"images": 1.5, "odd": "x"}},
            events.Completed(
                **READ_ENVELOPE, warnings=("no polygons: a.png",), processing_time=3.2, stages={"images": 1.5}
            ),
        ),
        (
            "export:failed",
            {"error": "boom", "code": "E", "hint": "h", "stage": "images", "item": "a.png", "retryable": False},
            events.Failed(
                **READ_ENVELOPE, error="boom", code="E", hint="h", stage="images", item="a.png", retryable=False
            ),
        ),
        (
            "export:cancelled",
            {"cancelledBy": "ana", "reason": "r", "progress": 12.5, "message": "m", "cleanupCompleted": True},
            events.Cancelled(
                **READ_ENVELOPE, cancelled_by="ana", reason="r", progress=12.5, message="m", cleanup_completed=True
            ),
        ),
    ],
)
def test_an_event_is_read_whole(name, data, expected):
    assert dialect2.decode(name, ENVELOPE | data) == expected


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 10**400, 2**53, -1, "7", True, [], {}, None, 7.5])
def test_a_number_that_is_none_reads_as_not_said(wrong):
    source = {"n": wrong}
    assert reading.integer(source, "n") is None
    assert reading.number(source, "n") in {None, -1.0, 7.5}


@pytest.mark.parametrize(("told", "read"), [(-3, 0.0), (0, 0.0), (41.5, 41.5), (100, 100.0), (250, 100.0)])
def test_a_percentage_stays_between_nothing_and_all(told, read):
    assert reading.percent({"progress": told}, "progress") == read


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("2026-03-01T10:20:30.123Z", "2026-03-01T10:20:30.123Z"),
        ("2026-03-01T10:20:30Z", "2026-03-01T10:20:30.000Z"),
        ("2026-03-01T12:20:30.123456+02:00", "2026-03-01T10:20:30.123Z"),
        ("2026-03-01T10:20:30.123", None),  # of no zone: nobody knows when
        ("2026-13-01T10:20:30.123Z", None),
        ("0001-01-01T00:00:00+02:00", None),  # before the first day that there is
        ("yesterday", None),
        ("", None),
        (1772360430123, None),
    ],
)
def test_a_time_is_in_utc_with_milliseconds_or_not_said(told, read):
    assert reading.moment({"timestamp": told}, "timestamp") == read


def test_an_unknown_event_keeps_its_name_job_and_number_so_that_those_behind_it_need_not_wait():
    event = dialect2.decode("export:paused", ENVELOPE)
    assert event == Unreadable(**READ_ENVELOPE, name="export:paused", reason="unknown event")


@pytest.mark.parametrize("data", [None, [], "text", 7, {}, {"jobId": 7}, {"jobId": ""}, {"jobId": None}])
def test_an_event_of_no_job_is_unreadable_and_belongs_to_none(data):
    event = dialect2.decode("export:progress", data)
    assert isinstance(event, Unreadable)
    assert (event.name, event.job_id) == ("export:progress", "")


@pytest.mark.parametrize("told", [{"toPhase": 3}, {"toPhase": None}, {}])
def test_a_change_of_phase_that_names_none_is_the_one_that_there_is(told):
    event = dialect2.decode("export:phase-changed", ENVELOPE | told)
    assert isinstance(event, events.PhaseChanged)
    assert (event.seq, event.to_phase) == (7, "downloading")


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"current": 1, "total": 2, "currentItem": "a"}, StageProgress(current=1, total=2, item="a")),
        ({"current": 1, "total": 2}, StageProgress(current=1, total=2)),
        ({"current": 1}, None),
        ({"current": -1, "total": 2}, None),
        ([1, 2], None),
        (None, None),
    ],
)
def test_the_progress_of_a_stage_is_whole_or_not_there(told, read):
    assert dialect2.stage_progress({"stageProgress": told}) == read
