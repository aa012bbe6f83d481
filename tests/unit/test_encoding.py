"""Lines as NDJSON: every line is one line of valid JSON with exactly the keys that the command line's page names."""

import json
import math
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exportctl.model import lines
from exportctl.model.encoding import camel, encode
from exportctl.model.lines import ErrorDetails, Numbered, Outcome, Seconds, Source, Stats
from exportctl.protocol.events import StageProgress

# CLI.md, NDJSON: "Every line has".
HEADER = ["v", "seq", "event", "timestamp", "elapsed", "jobId", "projectId", "correlationId", "source"]
PROGRESS = ["phase", "progress", "stage", "stageProgress", "message", "template", "data", "estimatedTimeRemaining"]
EXPORT = {"job_id": "j", "project_id": "p", "source": Source.SOCKET}
STAGE = StageProgress(current=5, total=12, item="cell_005.jpg")
# CLI.md, NDJSON: the table of events. One line of each class with everything it may know, and its own keys by hand.
TABLE = [
    (lines.Hello(version="0.1.0", command="run", server="http://h"), ["version", "schema", "command", "server"]),
    (lines.ExportStarted(**EXPORT, options={"a": 1}, project_name="n"), ["options", "projectName"]),
    (
        lines.ExportProgress(
            **EXPORT,
            phase="processing",
            progress=41.5,
            stage="images",
            stage_progress=STAGE,
            message="m",
            template="t",
            data={"current": 5},
            estimated_time_remaining=3.0,
        ),
        PROGRESS,
    ),
    (
        lines.DownloadProgress(
            **EXPORT, phase="downloading", progress=None, bytes=1, total_bytes=None, bytes_per_second=None
        ),
        [*PROGRESS, "bytes", "totalBytes", "bytesPerSecond"],
    ),
    (
        lines.ExportPhaseChanged(**EXPORT, from_phase="processing", to_phase="downloading", message="m", progress=1.0),
        ["fromPhase", "toPhase", "message", "progress"],
    ),
    (
        lines.ExportStatusSync(
            **EXPORT, status="processing", phase=None, stage=None, progress=None, message=None, last_seq=3
        ),
        ["status", "phase", "stage", "progress", "message", "lastSeq"],
    ),
    (
        lines.ExportDownloadReady(**EXPORT, file_name="n.zip", file_size=7, sha256="ab"),
        ["fileName", "fileSize", "sha256"],
    ),
    (
        lines.ExportCompleted(**EXPORT, warnings=("w",), processing_time=3.2, stages={"images": 1.5}),
        ["warnings", "processingTime", "stages"],
    ),
    (
        lines.ExportFailedLine(**EXPORT, error="e", code="c", hint="h", stage="images", retryable=True),
        ["error", "code", "hint", "stage", "retryable"],
    ),
    (
        lines.ExportCancelled(**EXPORT, cancelled_by="ana", cleanup_completed=True, message="m"),
        ["cancelledBy", "cleanupCompleted", "message"],
    ),
    (
        lines.ConnectionChanged(state="polling", protocol=2, reason="r", attempt=1, retry_in=0.5),
        ["state", "protocol", "reason", "attempt", "retryIn"],
    ),
    (lines.Heartbeat(waiting_for="the server"), ["waitingFor"]),
    (lines.Log(level="info", code="dry-run", message="m"), ["level", "code", "message"]),
    (
        lines.ProjectRow(project_id="p", title="t", image_count=1, description=None, created_at="t", updated_at=None),
        ["title", "imageCount", "description", "createdAt", "updatedAt"],
    ),
    (
        lines.FormatRow(kind="metrics", id="csv", name="CSV", description=None),
        ["kind", "id", "name", "description"],
    ),
    (
        lines.CheckRow(name="socket", status="failed", message="m", hint="h", seconds=0.5),
        ["name", "status", "message", "hint", "seconds"],
    ),
    (
        lines.JobRow(
            **EXPORT,
            status="failed",
            project_name="n",
            phase="processing",
            stage="images",
            progress=1.0,
            stage_progress=STAGE,
            estimated_time_remaining=1.0,
            message="m",
            created_at="t",
            completed_at="t",
            file_name="n.zip",
            file_size=1,
            sha256="ab",
            warnings=(),
            error=ErrorDetails(code="c", message="m", hint=None),
            last_seq=1,
        ),
        [
            *("status", "projectName", "phase", "stage", "progress", "stageProgress", "estimatedTimeRemaining"),
            *("message", "createdAt", "completedAt", "fileName", "fileSize", "sha256", "warnings", "error", "lastSeq"),
        ],
    ),
    (
        lines.Result(outcome=Outcome.COMPLETED, exit_code=0),
        [
            *("outcome", "exitCode", "error", "file", "bytes", "sha256", "verified", "warnings", "seconds", "stats"),
        ],
    ),
]
TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**400, 2**64, -(2**63) - 1]) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def numbered(line):
    return Numbered(seq=3, timestamp="2026-03-01T10:20:30.123Z", elapsed=1.25, correlation_id="c", line=line)


def line_classes():
    return [
        thing
        for thing in vars(lines).values()
        if isinstance(thing, type) and issubclass(thing, lines.Line) and hasattr(thing, "event")
    ]


@pytest.mark.parametrize(("line", "keys"), TABLE, ids=lambda value: getattr(value, "event", ""))
def test_a_line_has_exactly_the_keys_of_its_events_row(line, keys):
    written = encode(numbered(line))
    assert written.endswith(b"}\n")
    assert written.count(b"\n") == 1
    assert list(json.loads(written)) == HEADER + keys


def test_every_kind_of_line_stands_in_that_table():
    assert {type(line) for line, _ in TABLE} == set(line_classes())


def test_no_two_events_share_a_name_but_the_two_phases_of_progress():
    names = sorted(kind.event for kind in line_classes())
    assert names == sorted([*set(names), "export:progress"])


@pytest.mark.parametrize(("line", "keys"), TABLE, ids=lambda value: getattr(value, "event", ""))
def test_what_is_unknown_is_null_and_never_missing(line, keys):
    """Every key of an event's row is present: also with all that may be None left at None."""
    empty = replace(
        line,
        **{
            name: None
            for name in line.__struct_fields__
            if name not in {"source", "seconds", "stats", "warnings", "outcome", "exit_code", "schema"}
            and name not in {"status", "phase", "state", "level", "version", "to_phase"}
        },
    )
    record = json.loads(encode(numbered(empty)))
    assert list(record) == HEADER + [key for key in keys if key != "stages"]  # which only some servers tell
    assert record["jobId"] is None


def test_the_servers_numbers_are_there_only_where_a_server_gave_them():
    line = lines.ExportStarted(**EXPORT, options=None, project_name=None, server_seq=1, job_correlation_id="k")
    record = json.loads(encode(numbered(line)))
    assert (record["serverSeq"], record["jobCorrelationId"]) == (1, "k")
    without = replace(line, server_seq=None, job_correlation_id=None)
    assert {"serverSeq", "jobCorrelationId"}.isdisjoint(json.loads(encode(numbered(without))))


def test_a_line_is_written_byte_for_byte_as_documented():
    line = lines.ExportProgress(**EXPORT, phase="processing", progress=41.5, stage="images", stage_progress=STAGE)
    assert encode(numbered(line)) == (
        b'{"v":1,"seq":3,"event":"export:progress","timestamp":"2026-03-01T10:20:30.123Z","elapsed":1.25,'
        b'"jobId":"j","projectId":"p","correlationId":"c","source":"socket","phase":"processing","progress":41.5,'
        b'"stage":"images","stageProgress":{"current":5,"total":12,"item":"cell_005.jpg"},"message":null,'
        b'"template":null,"data":null,"estimatedTimeRemaining":null}\n'
    )


def test_a_result_holds_its_parts_with_all_their_keys():
    line = lines.Result(
        outcome=Outcome.ERROR,
        exit_code=8,
        error=ErrorDetails(code="DAMAGED", message="m", hint=None),
        seconds=Seconds(total=1.5),
        stats=Stats(events=3, resumed_from=7),
    )
    record = json.loads(encode(numbered(line)))
    assert record["outcome"] == "error"
    assert record["exitCode"] == 8
    assert record["error"] == {"code": "DAMAGED", "message": "m", "hint": None}
    assert record["seconds"] == {"processing": None, "downloading": None, "total": 1.5}
    assert record["stats"] == {"events": 3, "duplicates": 0, "reconnects": 0, "polls": 0, "resumedFrom": 7}
    assert record["warnings"] == []


@given(options=st.dictionaries(TEXT, ANYTHING, max_size=4), text=TEXT)
def test_whatever_a_line_holds_is_one_line_that_a_strict_reader_takes(options, text):
    line = lines.ExportStarted(job_id=text, source=Source.POLL, options=options, project_name=text)
    written = encode(numbered(line))
    assert written.count(b"\n") == 1
    assert orjson.loads(written)["source"] == "poll"
    assert json.loads(written.decode())["event"] == "export:started"


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("\ud800", "\ufffd"),  # half a pair, as a server cuts an emoji
        ("a\ud800b", "a\ufffdb"),
        ("\udcff.png", "\ufffd.png"),  # a file name's byte that is no UTF-8
        ("\ud83d\ude00", "\U0001f600"),  # two halves that are a pair
        ("\u202edetrevni\u0000\n\u2028", "\u202edetrevni\u0000\n\u2028"),
        (2**64, float(2**64)),
        (-(2**63) - 1, float(-(2**63) - 1)),
        (2**64 - 1, 2**64 - 1),
        (10**400, None),
        (math.nan, None),
        (math.inf, None),
        ({"\udcff": {"deep": ["\ud800", (1, 2)]}}, {"\ufffd": {"deep": ["\ufffd", [1, 2]]}}),
        ((object(),), [None]),
    ],
)
def test_what_json_cannot_say_is_told_as_near_as_it_comes(held, told):
    record = orjson.loads(
        encode(numbered(lines.ExportStarted(job_id="j", options={"held": held, "kept": 1.5}, project_name="n")))
    )
    assert record["options"] == {"held": told, "kept": 1.5}
    assert (record["projectName"], record["source"], record["seq"]) == ("n", "client", 3)


def test_what_is_nested_beyond_all_sense_is_cut_and_the_line_is_told():
    deep = []
    for _ in range(5000):
        deep = [deep]
    record = orjson.loads(encode(numbered(lines.ExportStarted(job_id="j", options={"deep": deep}, project_name="n"))))
    assert record["projectName"] == "n"
    assert record["options"]["deep"][0][0]


@pytest.mark.parametrize(
    ("name", "key"),
    [("event", "event"), ("job_id", "jobId"), ("estimated_time_remaining", "estimatedTimeRemaining"), ("sha256",) * 2],
)
def test_keys_are_spelt_as_on_the_wire(name, key):
    assert camel(name) == key


def test_the_schemas_version_is_the_lines_version():
    assert re.fullmatch(rf"https://\S+/{lines.SCHEMA_VERSION}/\S+", lines.SCHEMA_ID)
