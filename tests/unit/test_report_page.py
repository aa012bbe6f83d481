"""The report of a recording: whole, readable and harmless, whatever the recording holds."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.decoding import decode
from exportctl.output.report.history import history
from exportctl.output.report.page import page
from exportctl.output.report.picture import COLOURS, alone, mark, ticks

RECORDINGS = Path(__file__).parents[1] / "recordings"
JOBS = ("aaaaaaaa-1111", "bbbbbbbb-2222", "cccccccc-3333")
HOSTILE = "</title></svg><script>alert(1)</script>\x1b[31m\u202e\" onload='x"


def line(elapsed, event, job=None, **facts):
    at = f"2026-11-24T{10 + int(elapsed) // 3600:02}:{int(elapsed) // 60 % 60:02}:{elapsed % 60:06.3f}Z"
    return {
        "v": 1,
        "seq": 1,
        "event": event,
        "timestamp": at,
        "elapsed": elapsed,
        "jobId": job,
        "projectId": "p" if job else None,
        "correlationId": "c",
        "source": "client",
        **facts,
    }


def hello(**facts):
    return line(0.0, "hello", version="0.1.0", schema="s", command="resume", server="https://lab.example.org", **facts)


def started(elapsed, job, name="nuclei"):
    return line(elapsed, "export:started", job, options={}, projectName=name)


def progress(elapsed, job, share, stage="images"):
    counts = {"current": 1, "total": 2, "item": "a.png"}
    facts = {"phase": "processing", "progress": share, "stage": stage, "stageProgress": counts}
    return line(
        elapsed, "export:progress", job, **facts, message="m", template=None, data=None, estimatedTimeRemaining=None
    )


def result(elapsed, job, outcome, code, error=None):
    facts = {"file": None, "bytes": None, "sha256": None, "verified": None, "warnings": []}
    seconds = {"processing": 1.0, "downloading": None, "total": elapsed}
    stats = {"events": 1, "duplicates": 0, "reconnects": 0, "polls": 0, "resumedFrom": None}
    return line(
        elapsed, "result", job, outcome=outcome, exitCode=code, error=error, **facts, seconds=seconds, stats=stats
    )


def history_of(*lines):
    texts = (one if isinstance(one, str) else json.dumps(one) for one in lines)
    return history(numbered for text in texts if (numbered := decode(text.encode("utf-8", "surrogatepass"))))


class Shape(HTMLParser):
    """What a browser would make of it: the elements in order, their attributes, the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def assert_harmless(found):
    """Neither HTML nor SVG runs, loads or breaks anything, and what is drawn lies within the picture."""
    html, svg = page(found), alone(found)
    shape = Shape(html)
    assert not {"script", "img", "iframe", "object", "link", "b"} & set(shape.tags)
    assert not [name for name, _ in shape.attributes if name.startswith("on") or name in {"src", "href"}]
    assert not re.search(r"\b(?:nan|inf)\b|e\+\d{2}", re.sub(r"<style>.*?</style>|>[^<]*<", "", html, flags=re.DOTALL))
    assert "\x1b" not in html
    assert "\u202e" not in html
    for element in ET.fromstring(svg).iter():
        for name in ("x", "width"):
            if element.get(name, "").endswith("%"):
                assert 0 <= float(element.get(name)[:-1]) <= 100.3
    assert len(html) < 200_000
    return shape.text


def test_several_jobs_tell_each_its_end_and_an_hour_without_a_socket_is_seen():
    text = assert_harmless(
        history_of(
            hello(),
            started(0.5, JOBS[0]),
            started(0.6, JOBS[1], "spheroids of the second series, with a very long name indeed"),
            started(0.7, JOBS[2]),
            *(progress(at, job, 10 * at) for at in (1.0, 2.0, 3.0) for job in JOBS),
            line(
                4.0, "export:failed", JOBS[1], error="disk full", code="DISK_FULL", hint="h", stage=None, retryable=True
            ),
            result(4.1, JOBS[1], "failed", 3, {"code": "DISK_FULL", "message": "disk full", "hint": None}),
            line(4.2, "export:cancelled", JOBS[2], cancelledBy="user", cleanupCompleted=True, message="m"),
            result(4.3, JOBS[2], "cancelled", 10),
            line(5.0, "connection:changed", state="reconnecting", protocol=2, reason="r", attempt=1, retryIn=1.0),
            line(10.0, "connection:changed", state="polling", protocol=2, reason="r", attempt=None, retryIn=None),
            line(3610.0, "connection:changed", state="connected", protocol=2, reason=None, attempt=None, retryIn=None),
            progress(3620.0, JOBS[0], 100),
            result(3621.0, JOBS[0], "completed", 0),
        )
    )
    assert "nuclei (aaaaaaaa): completed" in text
    assert "(bbbbbbbb): failed" in text
    assert "disk full" in text
    assert "(cccccccc): cancelled" in text
    assert "the connection was lost once" in text
    assert "5.0 s reconnecting, 1 h 0 min polling" in text
    assert "up to 30 %" in text, "a job that failed did not reach the whole"
    assert "15 min" in text
    assert "3620.00" in text


def test_the_time_before_a_job_began_is_told_where_it_is_a_part_of_the_whole():
    late = page(history_of(hello(), started(5.0, JOBS[0]), progress(10.0, JOBS[0], 100)))
    assert "Before it began" in late
    soon = page(history_of(hello(), started(0.1, JOBS[0]), progress(10.0, JOBS[0], 100)))
    assert "Before it began" not in soon


def test_a_recording_that_breaks_off_says_so():
    assert "breaks off before the end" in page(history_of(hello(), started(0.5, JOBS[0]), progress(1.0, JOBS[0], 5)))


def test_hostile_words_and_numbers_and_times_are_harmless():
    far = progress(1.0, JOBS[0], 50, stage=HOSTILE)
    text = assert_harmless(
        history_of(
            {**hello(), "server": HOSTILE, "command": HOSTILE},
            started(0.5, JOBS[0], HOSTILE),
            {**far, "elapsed": 1e308},
            {**far, "serverSeq": 3, "timestamp": "9999-12-31T23:59:59.999Z"},
            {**far, "serverSeq": 4, "timestamp": "0001-01-01T00:00:00"},
            {**far, "elapsed": -1e300},
            {**far, "elapsed": 0.2},
            json.dumps(far).replace("50", "NaN"),
            json.dumps(far).replace("50", "1e308"),
            "rubbish",
            "[1]",
            "{",
            result(3.0, JOBS[0], "error", 1, {"code": "x", "message": HOSTILE, "hint": None}),
        )
    )
    assert "alert(1)" in text, "what was said is shown, as text"


@given(
    st.lists(
        st.tuples(
            st.floats(),
            st.sampled_from(["hello", "export:started", "export:progress", "export:phase-changed", "result", "down"]),
            st.floats(),
            st.text(max_size=8),
        ),
        max_size=12,
    )
)
def test_whatever_was_recorded_the_page_is_harmless(told):
    lines = []
    for elapsed, kind, number, text in told:
        event = "export:progress" if kind == "down" else kind
        one = {**progress(1.0, JOBS[0], number, stage=text), "event": event, "elapsed": elapsed, "projectName": text}
        if kind == "down":
            one |= {"phase": "downloading", "bytes": 5, "totalBytes": 9, "bytesPerSecond": 7}
        lines.append(json.dumps(one))
    found = history_of(*lines)
    if found.jobs:
        assert_harmless(found)


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDINGS.glob("*.ndjson")))
def test_recordings_of_earlier_versions_are_reported(name):
    found = history_of(*(RECORDINGS / name).read_text("utf-8").splitlines())
    assert found.jobs
    assert_harmless(found)


@pytest.mark.parametrize(
    ("begin", "end", "marks"),
    [
        (0.0, 4.3, ["0 s", "1 s", "2 s", "3 s", "4 s"]),
        (0.0, 0.1, ["0 s", "0.02 s", "0.04 s", "0.06 s", "0.08 s", "0.1 s"]),
        (-70.0, 20.0, ["-1 min", "-30 s", "0 s"]),
        (0.0, 3662.0, ["0 s", "15 min", "30 min", "45 min", "1 h"]),
        (0.0, 5 * 86_400.0, ["0 s", "50 h", "100 h"]),
    ],
)
def test_the_axis_is_marked_at_round_times(begin, end, marks):
    assert [mark(seconds) for seconds in ticks(begin, end)] == marks


@given(st.floats(-3e8, 3e8), st.floats(0.001, 6e8))
def test_the_axis_has_a_few_marks_whatever_the_time(begin, whole):
    assert len(ticks(begin, begin + whole)) <= 6


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_and_bars_stand_out_from_the_page_in_light_and_dark(scheme):
    """WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for text, 3 for what is drawn."""
    colours = dict(re.findall(r"--(\w+): (#\w{6})", COLOURS.split("@media")[scheme]))
    back = luminance(colours["back"])
    for name in set(colours) - {"back", "line"}:
        light, dark = sorted((luminance(colours[name]), back), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= (4.5 if name in {"ink", "soft"} else 3), name
