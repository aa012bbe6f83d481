"""The main job as a user runs it: a process, a folder, an archive."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from system.processes import SHARED

NUCLEI = SHARED / "data" / "nuclei"
needs_nuclei = pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout")
PHASES = ["export:started", "export:progress", "export:phase-changed", "export:download-ready", "export:completed"]


@needs_nuclei
def test_every_line_parses_in_order_and_the_one_result_is_last(exportctl):
    ended = exportctl.run("run", NUCLEI, "--ndjson", "--progress", "none")
    assert (ended.status, ended.stderr) == (0, "")
    lines = ended.lines
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["event"] == "hello"
    assert len({line["correlationId"] for line in lines}) == 1
    numbered = [line for line in lines if "serverSeq" in line]
    assert [line["serverSeq"] for line in numbered] == list(range(1, len(numbered) + 1))
    assert list(dict.fromkeys(line["event"] for line in numbered)) == PHASES
    result = ended.result
    assert (result["outcome"], result["exitCode"], result["verified"]) == ("completed", 0, True)
    assert Path(result["file"]).stat().st_size == result["bytes"]


@needs_nuclei
def test_progress_never_falls_within_a_phase_and_both_phases_reach_the_end(exportctl):
    lines = exportctl.run("run", NUCLEI, "--ndjson").lines
    for phase in ("processing", "downloading"):
        told = [line["progress"] for line in lines if line["event"] == "export:progress" and line["phase"] == phase]
        # While the archive is made nobody knows of how much: then there is no share.
        told = [share for share in told if share is not None or phase == "processing"]
        assert told == sorted(told)
        assert told[-1] == 100


@needs_nuclei
def test_standard_output_is_the_absolute_path_and_nothing_else(exportctl):
    ended = exportctl.run("run", NUCLEI, "-q")
    path = Path(ended.stdout.decode().removesuffix("\n"))
    assert ended.stderr == ""
    assert path.is_absolute()
    assert path.parent == exportctl.folder
    assert path.name.startswith("nuclei-")
    assert zipfile.ZipFile(path).testzip() is None
    assert list(exportctl.folder.iterdir()) == [path]


@needs_nuclei
def test_the_archive_holds_what_was_asked_for(exportctl):
    asked = ["--no-images", "--annotations", "coco,yolo,json", "--metrics", "csv", "--no-docs", "-o", "out.zip"]
    exportctl.run("run", NUCLEI, *asked)
    names = zipfile.ZipFile(exportctl.folder / "out.zip").namelist()
    assert {name.split("/")[0] for name in names} == {"visualizations", "annotations", "metrics"}
    assert "annotations/coco/annotations.json" in names
    assert "annotations/yolo/data.yaml" in names
    assert "metrics/metrics.csv" in names
    assert "metrics/metrics.xlsx" not in names


@needs_nuclei
def test_one_image_can_be_selected_by_its_path(exportctl):
    exportctl.run("run", NUCLEI, "--select", "buňka č. 1.jpg", "-o", "one.zip")
    names = zipfile.ZipFile(exportctl.folder / "one.zip").namelist()
    assert [name for name in names if name.startswith("images/")] == ["images/buňka č. 1.jpg"]


def test_the_sample_is_the_same_every_time(exportctl):
    for name in ("a.zip", "b.zip"):
        assert exportctl.run("run", "sample", "--sample-size", 3, "-o", name).status == 0
    first, second = (zipfile.ZipFile(exportctl.folder / name) for name in ("a.zip", "b.zip"))
    pictures = sorted(
        name for name in first.namelist() if name.startswith(("images/", "visualizations/", "annotations/"))
    )
    assert len(pictures) == 3 + 3 + 1
    for name in pictures:
        assert first.read(name) == second.read(name)


def test_a_folder_named_sample_is_reached_with_a_dot(exportctl):
    (exportctl.folder / "sample").mkdir()
    ended = exportctl.run("run", "./sample", "--ndjson")
    assert ended.status == 2
    assert "image" in ended.result["error"]["message"]


class TestOutput:
    def test_an_existing_file_is_found_before_anything_starts(self, exportctl):
        (exportctl.folder / "there.zip").write_text("mine")
        ended = exportctl.run("run", "sample", "-o", "there.zip", "--ndjson")
        assert ended.status == 11
        assert [line["event"] for line in ended.lines] == ["hello", "result"]
        assert (exportctl.folder / "there.zip").read_text() == "mine"

    def test_overwrite_replaces_it(self, exportctl):
        (exportctl.folder / "there.zip").write_text("mine")
        assert exportctl.run("run", "sample", "--sample-size", 1, "-o", "there.zip", "--overwrite").status == 0
        assert zipfile.is_zipfile(exportctl.folder / "there.zip")

    def test_a_folder_takes_the_default_name(self, exportctl):
        (exportctl.folder / "out").mkdir()
        ended = exportctl.run("run", "sample", "--sample-size", 1, "-o", "out/", "--ndjson")
        path = Path(ended.result["file"])
        assert path == exportctl.folder / "out" / f"sample-{ended.result['jobId'][:8]}.zip"

    def test_a_template_is_filled_in(self, exportctl):
        ended = exportctl.run("run", "sample", "--sample-size", 1, "-o", "x {project} {job}.zip", "--ndjson")
        assert Path(ended.result["file"]).name == f"x sample {ended.result['jobId'][:8]}.zip"

    def test_standard_output_takes_the_archive_itself(self, exportctl):
        with (exportctl.folder / "piped.zip").open("wb") as file:
            ended = exportctl.run("run", "sample", "--sample-size", 2, "-o", "-", stdout=file)
        assert ended.status == 0
        assert zipfile.ZipFile(exportctl.folder / "piped.zip").testzip() is None

    def test_standard_output_is_not_for_lines_and_archive_both(self, exportctl):
        ended = exportctl.run("run", "sample", "-o", "-", "--ndjson")
        assert ended.status == 2
        assert "--events" in ended.result["error"]["hint"]

    def test_a_missing_folder_is_named(self, exportctl):
        ended = exportctl.run("run", "sample", "-o", "no/where.zip")
        assert ended.status == 11
        assert "there is no folder" in ended.stderr

    def test_events_go_to_a_file_whatever_standard_output_shows(self, exportctl):
        ended = exportctl.run("run", "sample", "--sample-size", 1, "--events", "lines.ndjson")
        assert ended.stdout.decode().startswith("/")
        lines = (exportctl.folder / "lines.ndjson").read_bytes().splitlines()
        assert b'"event":"hello"' in lines[0]
        assert b'"event":"result"' in lines[-1]

    def test_events_go_to_an_open_descriptor(self, exportctl):
        reading, writing = os.pipe()
        with exportctl.start(
            "run", "sample", "--sample-size", "1", "--events", f"fd:{writing}", pass_fds=[writing]
        ) as process:
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                lines = pipe.read().splitlines()
            process.communicate()
        assert b'"event":"result"' in lines[-1]


def test_it_runs_under_crons_empty_environment(exportctl):
    """No HOME, no TERM, no locale: what cron and CI give."""
    exportctl.environment = {}
    with subprocess.Popen(
        ["/usr/bin/env", "-i", sys.executable, "-m", "exportctl", "run", "sample", "--sample-size", "1", "-q"],
        cwd=exportctl.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    assert zipfile.is_zipfile(stdout.decode().strip())
