"""The report of a recording: the right numbers, in one file that needs no other."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from exportctl.model.decoding import decode
from exportctl.output.report.history import history
from exportctl.output.report.page import page
from exportctl.output.report.picture import alone
from unit.test_encoding import encode, lines, numbered

RECORDINGS = Path(__file__).parents[1] / "recordings"


def read(name):
    return [decode(line) for line in (RECORDINGS / name).read_bytes().splitlines()]


def command(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "exportctl", *map(str, words)], capture_output=True, timeout=60, check=False, **options
    )


def test_the_numbers_are_those_of_the_recording():
    found = history(read("run.ndjson"))
    (job,) = found.jobs.values()
    assert (found.command, found.has_end, found.outages) == ("run", True, [])
    assert [*job.stages] == ["annotations", "metrics", "images", "visualizations", "compression"]
    assert job.slowest.name == "images"
    assert (job.bytes, job.result.outcome) == (13795654, "completed")
    assert 0 < job.processing.seconds < found.seconds
    assert job.processing.end <= job.downloading.end <= found.end


def test_an_export_that_was_replayed_in_one_moment_still_shows_how_long_it_took():
    told = [
        b'{"v":1,"event":"hello","timestamp":"2026-01-01T10:00:00.000Z","elapsed":0,"version":"1","command":"follow"}',
        b'{"v":1,"event":"export:started","jobId":"j","serverSeq":1,"timestamp":"2026-01-01T09:00:00.000Z","elapsed":1}',
        b'{"v":1,"event":"export:progress","jobId":"j","serverSeq":2,"timestamp":"2026-01-01T09:00:30Z","elapsed":1,%s'
        % b'"phase":"processing","stage":"images","progress":50}',
        b'{"v":1,"event":"export:completed","jobId":"j","serverSeq":3,"timestamp":"2026-01-01T09:01:00.000Z","elapsed":1}',
    ]
    job = history(map(decode, told)).jobs["j"]
    assert job.processing.seconds == 60
    assert job.stages["images"].seconds == 30


def test_times_without_a_socket_are_shown():
    told = [
        numbered(lines.Hello(version="1", command="run", server="s")),
        *(numbered(line) for line in [lines.ConnectionChanged(state="reconnecting", protocol=2)]),
        numbered(lines.ExportStarted(job_id="j", options=None, project_name="n")),
    ]
    found = history(told)
    assert [span.name for span in found.outages] == ["reconnecting"]
    assert "Connection lost" in page(found)


@pytest.mark.parametrize("name", ["run.ndjson", "follow.ndjson"])
def test_the_page_is_whole_in_itself(name):
    text = page(history(read(name)))
    HTMLParser().feed(text)
    assert not re.search(r"(?:src|href|@import|url\()", text)
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    assert "Slowest stage: " in text


@pytest.mark.parametrize("name", ["run.ndjson", "follow.ndjson"])
def test_the_picture_alone_is_an_xml_document(name):
    root = ET.fromstring(alone(history(read(name))))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_what_a_server_says_stays_text():
    told = [
        numbered(lines.ExportStarted(job_id="<b>", options=None, project_name="<script>alert(1)</script>\x1b[31m")),
        numbered(lines.ExportProgress(job_id="<b>", phase="processing", progress=1.0, stage='"><img src=x>')),
    ]
    text = page(history(map(decode, map(encode, told))))
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text


def test_the_command_writes_the_page_or_says_why_not(tmp_path):
    out = tmp_path / "r.html"
    ended = command("report", RECORDINGS / "run.ndjson", "-o", out)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert out.read_bytes() == command("report", RECORDINGS / "run.ndjson").stdout
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("content", [b"", b"words\n", b'{"v":1,"event":"hello","version":"1"}\n', b"\x00\xff" * 99])
def test_a_file_without_an_export_is_refused_in_words(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    ended = command("report", tmp_path / "log", "-o", tmp_path / "r.html")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"nothing to report in" in ended.stderr
    assert not (tmp_path / "r.html").exists()


def test_a_file_that_was_cut_is_reported_as_far_as_it_goes(tmp_path):
    whole = (RECORDINGS / "run.ndjson").read_bytes()
    (tmp_path / "log").write_bytes(whole[: len(whole) * 2 // 3])
    ended = command("report", tmp_path / "log")
    assert ended.returncode == 0
    assert b"breaks off before the end" in ended.stdout


def test_a_place_that_cannot_be_written_is_status_11(tmp_path):
    for place in (tmp_path, tmp_path / "no" / "r.html"):
        assert command("report", RECORDINGS / "run.ndjson", "-o", place).returncode == 11
