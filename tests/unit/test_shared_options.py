"""What `CLI.md` says that all commands take, all commands take; those without a server tell their lines too."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from exportctl.commands.app import COMMANDS, load
from schema_of_lines import check_all

RECORDING = Path(__file__).parents[1] / "recordings" / "run.ndjson"
WORDS = ["-q", "-v", "--verbose", "--ndjson", "--json", "--no-state"]
VALUES = {"--events": "f", "--progress": "none", "--timeout": "5", "--lang": "cs"}
NEEDED = {"completion": ["bash"], "status": ["j"], "download": ["j"], "cancel": ["j"], "report": ["f"]}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_every_command_takes_the_options_that_all_share(name):
    needed = NEEDED.get(name, ["x"] if name in {"run", "start"} else [])
    words = [*needed, *WORDS, *(word for pair in VALUES.items() for word in pair)]
    with load(name).make_context(name, words) as context:
        found = context.params
    assert (found["quiet"], found["verbose"], found["ndjson"], found["no_state"]) == (True, 2, True, True)
    assert (found["events"], found["progress"], found["timeout"], found["lang"]) == ("f", "none", 5.0, "cs")


def ended(*words, status=0, folder=None, **environment):
    """Return what the command printed, and what it said."""
    run = subprocess.run(
        [sys.executable, "-m", "exportctl", *map(str, words)],
        capture_output=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", **environment},
        timeout=60,
        check=False,
    )
    assert run.returncode == status, run.stderr
    return run.stdout, run.stderr.decode()


def lines(printed):
    check_all(printed)
    return [orjson.loads(line) for line in printed.splitlines()]


def test_a_recording_is_drawn_and_its_drawing_told(tmp_path):
    printed, said = ended("render", RECORDING, "--speed", "max", "--ndjson", "--progress", "plain")
    assert [line["event"] for line in lines(printed)] == ["hello", "result"]
    assert "verified" in said
    assert ended("render", RECORDING, "-q") == (b"", "")
    ended("render", RECORDING, "-q", "--events", "log", folder=tmp_path)
    assert lines((tmp_path / "log").read_bytes())[-1]["outcome"] == "ok"
    printed, said = ended("render", "no-such", "--json", "-q", status=2)
    assert (lines(printed)[-1]["exitCode"], said.count("\n")) == (2, 1)


def test_a_drawing_ends_when_its_time_is_over():
    printed, said = ended("render", RECORDING, "--speed", "0.01", "--timeout", "0.1", "--ndjson", status=6)
    assert lines(printed)[-1]["outcome"] == "timeout"
    assert "--timeout 0.1 ran out" in said


def test_a_report_is_told_with_its_place_and_shares_standard_output_with_no_line(tmp_path):
    printed, said = ended("report", RECORDING, "-o", "x.html", "--ndjson", folder=tmp_path)
    result = lines(printed)[-1]
    assert (result["file"], result["bytes"], said) == (
        str(tmp_path / "x.html"),
        (tmp_path / "x.html").stat().st_size,
        "",
    )
    printed, said = ended("report", RECORDING, "--ndjson", status=2)
    assert lines(printed)[-1]["exitCode"] == 2
    assert "--events" in said


@pytest.mark.parametrize("words", [["schema"], ["completion", "fish"]])
def test_a_document_is_printed_whatever_is_said_of_lines_in_the_environment(words):
    printed, _ = ended(*words, EXPORTCTL_NDJSON="1")
    assert ended(*words, "-q", "--progress", "none")[0] == printed
    refused, said = ended(*words, "--ndjson", status=2)
    assert [line["event"] for line in lines(refused)] == ["hello", "result"]
    assert "prints a document" in said
