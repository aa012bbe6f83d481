"""Progress goes where it can be read, as it was asked for; errors and tables are in words that people can use."""

import io
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.errors import CannotWrite, NotFound, Usage
from exportctl.output.bars import BarsSink
from exportctl.output.choose import choose_progress, make_sinks
from exportctl.output.failure import failure
from exportctl.output.ndjson import NdjsonSink
from exportctl.output.plain import PlainSink
from exportctl.output.safe import width
from exportctl.output.table import table

OURS = str.maketrans("", "", "\u2068\u2069")
"""The marks around names from right to left."""


@pytest.mark.parametrize(
    ("mode", "is_terminal", "term", "quiet", "shown"),
    [
        ("auto", True, "xterm-256color", False, "bars"),
        ("auto", False, "xterm-256color", False, "plain"),
        ("auto", True, "dumb", False, "plain"),
        ("auto", True, "", False, "plain"),
        ("auto", True, None, False, "plain"),
        ("auto", True, "xterm", True, "none"),
        ("bars", False, None, False, "bars"),
        ("bars", True, "dumb", False, "bars"),
        ("bars", True, "xterm", True, "none"),
        ("plain", True, "xterm", False, "plain"),
        ("none", True, "xterm", False, "none"),
    ],
)
def test_how_progress_is_shown(mode, is_terminal, term, quiet, shown):
    assert choose_progress(mode, is_terminal=is_terminal, term=term, quiet=quiet) == shown


def sinks(**options):
    facts = {"shown": "none", "ndjson": False, "events": None, "stderr": io.StringIO()} | options
    return make_sinks(**facts, monotonic=lambda: 0.0, local_now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


def test_the_events_file_is_told_first_and_people_last(tmp_path):
    made = sinks(shown="bars", ndjson=True, events=str(tmp_path / "events"))
    assert [type(sink) for sink in made.all] == [NdjsonSink, NdjsonSink, BarsSink]
    assert made.all[0]._name.endswith("events")
    assert made.progress is made.all[2]
    made.all[0].close()


def test_each_way_of_showing_has_its_sink():
    assert isinstance(sinks(shown="plain").progress, PlainSink)
    assert sinks(shown="none").progress is None
    assert sinks(shown="none").all == ()
    assert sinks(shown="bars", stderr=None).progress is None


def test_a_bad_events_file_is_said_before_anything_starts(tmp_path):
    with pytest.raises(CannotWrite):
        sinks(events=str(tmp_path))
    with pytest.raises(Usage):
        sinks(events="fd:x")


def test_no_command_pays_for_bars_that_it_does_not_draw():
    code = "import sys, exportctl.output.choose, exportctl.output.plain; sys.exit('tqdm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_says_what_is_wrong_and_what_to_do():
    assert failure(NotFound("no such project: nuclei", hint="exportctl projects")) == (
        "exportctl: error: no such project: nuclei\n  hint: exportctl projects\n"
    )
    assert failure(NotFound("gone")) == "exportctl: error: gone\n"
    assert failure(NotFound("")) == "exportctl: error: NOT_FOUND\n"


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_an_error_of_a_hostile_server_is_two_harmless_lines(message, hint):
    lines = failure(NotFound(message, hint=hint)).split("\n")
    assert lines.pop() == ""
    assert len(lines) <= 2
    assert all(line.translate(OURS).isprintable() and width(line) < 600 for line in lines)


ROWS = [("6f0c2b7e", "buňka 細胞", "482 kB"), ("77aa", "a", "1.00 MB")]


def test_a_table_is_aligned_by_what_is_seen():
    assert table(("JOB", "PROJECT", "SIZE"), ROWS, numbers={"SIZE"}) == [
        "JOB       PROJECT        SIZE",
        "6f0c2b7e  buňka 細胞   482 kB",
        "77aa      a           1.00 MB",
    ]


def test_a_table_without_rows_is_its_headings():
    assert table(("JOB", "SIZE"), []) == ["JOB  SIZE"]


@given(
    st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Mn", "Me"]), max_size=60)] * 3), max_size=5),
    st.integers(28, 120),
)
def test_a_table_fits_its_terminal_and_is_never_cut_in_a_pipe(rows, columns):
    fitted = table(("A", "B", "C"), rows, columns=columns)
    assert all(width(line) <= columns and line.translate(OURS).isprintable() for line in fitted)
    whole = table(("A", "B", "C"), rows)
    assert not any(
        line.count("…") > sum(cell.count("…") for cell in row) for line, row in zip(whole[1:], rows, strict=True)
    )
