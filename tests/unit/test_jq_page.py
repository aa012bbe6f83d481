"""Every one-liner of the page does what the page shows, on recordings of the real command."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from schema_of_lines import check

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings"
PAGE = (ROOT / "docs" / "jq.md").read_text("utf-8")
SHOWN = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_one_liner_of_the_page_shows_what_it_prints():
    assert len(SHOWN) == PAGE.count("```sh") >= 15


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not there")
@pytest.mark.parametrize(("line", "printed"), SHOWN, ids=[re.sub(r"\W+", "-", line)[:60] for line, _ in SHOWN])
def test_a_one_liner_prints_what_the_page_shows(line, printed):
    assert line.count("\n") == 1
    ended = subprocess.run(["bash", "-c", line], cwd=RECORDINGS, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout.decode()) == (0, b"", printed)


# Those of `eta/` are cut down to what their benchmark reads.
@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.ndjson")), ids=lambda path: path.name)
def test_the_lines_of_every_recording_are_valid(path):
    for line in path.read_bytes().splitlines():
        check(line)
