"""Colour is there where a terminal shows it and nobody said no, and says nothing that the words do not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exportctl.model.errors import Usage
from exportctl.output.colour import RED, painted, wants_colour
from exportctl.output.failure import failure

RECORDING = Path(__file__).parents[1] / "recordings" / "run.ndjson"


@pytest.mark.parametrize(
    ("variables", "terminal", "pipe"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"TERM": "dumb", "FORCE_COLOR": "3"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": "0"}, True, False),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_the_variables_decide_before_the_terminal(variables, terminal, pipe):
    assert wants_colour(variables.get, is_terminal=True) is terminal
    assert wants_colour(variables.get, is_terminal=False) is pipe


def test_an_error_is_one_line_for_a_mail():
    error = Usage("no such\nthing", hint="try another")
    assert failure(error, is_one_line=True) == "exportctl: error: no such … (try another)\n"
    assert failure(Usage("no"), is_one_line=True) == failure(Usage("no"))


def test_an_error_says_the_same_without_its_colour():
    error = Usage("no such thing", hint="try another")
    assert re.sub(r"\x1b\[\d+m", "", failure(error, colour=True)) == failure(error)
    assert painted("x", RED, on=True) == "\x1b[31mx\x1b[0m"


@pytest.mark.parametrize("mode", ["plain", "bars"])
def test_a_pipe_gets_colour_only_by_force(mode):
    def shown(**variables):
        environment = {name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
        words = [sys.executable, "-m", "exportctl", "render", RECORDING, "--speed", "max", "--progress", mode]
        ended = subprocess.run(words, env={**environment, **variables}, capture_output=True, timeout=60, check=True)
        return ended.stderr

    assert b"\x1b[32mSaved" in shown(FORCE_COLOR="1", PYTHONIOENCODING="utf-8")
    assert not re.search(rb"\x1b\[\d+m", shown())
