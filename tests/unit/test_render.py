"""Recorded lines drawn again: the same bars, whatever stands between the lines, and from a pipe as they come."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exportctl.commands.body.render import parse_speed
from exportctl.model.errors import Usage
from unit.test_encoding import encode, lines, numbered

RECORDINGS = Path(__file__).parents[1] / "recordings"
WHOLE = (RECORDINGS / "run.ndjson").read_bytes()


def render(*words, stdin=b"", **environment):
    return subprocess.run(
        [sys.executable, "-m", "exportctl", "render", *map(str, words)],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "TZ": "UTC", **environment},
    )


@pytest.mark.parametrize("mode", ["bars", "plain"])
def test_a_recording_is_drawn_to_its_end(mode):
    ended = render(RECORDINGS / "run.ndjson", "--speed", "max", "--progress", mode)
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert "Saved /data/sample-9490f40b.zip (13.8 MB, verified) in 4.3 s" in ended.stderr.decode()


def test_plain_lines_have_the_times_of_the_recording():
    said = render("--progress", "plain", stdin=WHOLE).stderr.decode()
    assert said.startswith("2026-11-24 09:14:1")


def test_other_lines_are_passed_over():
    mixed = b"make: entering\n{}\n" + WHOLE.replace(b"\n", b"\n\xff\x00 noise\n[1]\n")
    assert render("--progress", "plain", stdin=mixed).stderr == render("--progress", "plain", stdin=WHOLE).stderr


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_a_cut_file_is_drawn_as_far_as_it_goes(share):
    ended = render("--progress", "bars", stdin=WHOLE[: int(len(WHOLE) * share)])
    assert ended.returncode == 0
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("mode", ["bars", "plain"])
def test_times_that_make_no_sense_are_not_waited_for(tmp_path, mode):
    first, *rest = WHOLE.splitlines(keepends=True)
    odd = [re.sub(rb'"elapsed":[\d.]+', b'"elapsed":' + time, rest[3]) for time in (b"1e308", b"-5", b"1e12", b"0.1")]
    (tmp_path / "log").write_bytes(b"".join([first, *odd, *rest]))
    ended = render(tmp_path / "log", "--speed", "50", "--progress", mode)
    assert ended.returncode == 0
    assert "Saved /data/sample-9490f40b.zip" in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr


def test_an_empty_file_is_no_error_and_says_so(tmp_path):
    (tmp_path / "log").touch()
    ended = render(tmp_path / "log", "--progress", "plain")
    assert ended.returncode == 0
    assert b"nothing to draw" in ended.stderr


@pytest.mark.parametrize(
    "words", [["no-such-file"], ["/"], ["-", "--speed", "0"], ["-", "--speed", "fast"], ["a", "b"]]
)
def test_what_cannot_be_drawn_is_status_2(words):
    ended = render(*words)
    assert ended.returncode == 2
    assert b"exportctl: error: " in ended.stderr


def test_where_no_progress_is_wanted_nothing_is_drawn():
    ended = render(stdin=WHOLE, EXPORTCTL_PROGRESS="none")
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_two_hundred_jobs_are_drawn():
    told = [
        lines.ExportProgress(job_id=f"job-{number:04}", phase="processing", progress=1.0, stage="images")
        for number in range(200)
    ]
    ended = render("--progress", "bars", stdin=b"".join(encode(numbered(line)) for line in told))
    assert ended.returncode == 0


def test_the_speed_is_a_number_above_none_or_max():
    assert (parse_speed(None), parse_speed("max"), parse_speed("2.5")) == (None, None, 2.5)
    for word in ("0", "-1", "nan", "inf", "x", ""):
        with pytest.raises(Usage):
            parse_speed(word)


def test_lines_are_drawn_as_they_come_and_an_interrupt_waits_for_the_writers_end():
    process = subprocess.Popen(
        [sys.executable, "-m", "exportctl", "render", "--progress", "plain"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    cut = WHOLE.rindex(b"\n", 0, -1) + 1
    process.stdin.write(WHOLE[:cut])
    process.stdin.flush()
    assert b"started sample" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(WHOLE[cut:], timeout=60)
    assert b"Saved /data/" in said
    assert process.returncode == -signal.SIGINT


def test_a_recording_that_is_shown_in_its_own_time_ends_at_the_first_interrupt(tmp_path):
    slow = WHOLE.replace(b'"elapsed":4.1', b'"elapsed":4000.1')
    (tmp_path / "log").write_bytes(slow)
    process = subprocess.Popen(
        [sys.executable, "-m", "exportctl", "render", tmp_path / "log", "--progress", "plain", "--speed", "3"],
        stderr=subprocess.PIPE,
    )
    assert process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
