"""A signal in the first moments of a command, before it can look for one."""

import signal
import subprocess
import sys

import pytest

import exportctl
from schema_of_lines import check

MOMENTS = """
import os, sys
from importlib.abc import MetaPathFinder

class Meanwhile(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Meanwhile())
sys.argv = ["exportctl", *{words!r}]
from exportctl.__main__ import main
sys.exit(main())
"""


def ended_by(number, module, *words):
    code = MOMENTS.format(module=module, number=int(number), words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["typer", "exportctl.commands.body.run", "httpx"])
def test_the_first_and_the_last_line_are_told_while_modules_are_imported(number, module):
    ended = ended_by(number, module, "run", "sample", "--ndjson")
    assert ended.returncode == -number
    assert not ended.stderr
    hello, result = map(check, ended.stdout.splitlines())
    assert (hello["event"], hello["command"], hello["version"]) == ("hello", "run", exportctl.__version__)
    assert (result["event"], result["exitCode"], result["outcome"]) == ("result", 128 + number, "cancelled")
    assert [hello["seq"], result["seq"]] == [1, 2]
    assert hello["correlationId"] == result["correlationId"]


def test_people_are_told_nothing_by_a_command_that_did_not_begin():
    ended = ended_by(signal.SIGINT, "httpx", "run", "sample")
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")
