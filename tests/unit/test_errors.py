"""The errors as data: every kind has the exit status that the command line's page gives it, and a code of its own."""

import inspect
import re
from pathlib import Path

import pytest

from exportctl.model import errors
from exportctl.model.errors import ExportctlError

PAGES = [Path(__file__).parents[2] / "CLI.md", Path(__file__).parents[3] / "shared" / "CLI.md"]
KINDS = [
    thing
    for thing in vars(errors).values()
    if inspect.isclass(thing) and issubclass(thing, ExportctlError) and thing is not ExportctlError
]
# CLI.md, Exit status; two kinds share a row where the page names two causes in it.
STATUS = {
    errors.Bug: 1,
    errors.Usage: 2,
    errors.Rejected: 2,
    errors.ExportFailed: 3,
    errors.NotAllowed: 4,
    errors.NotFound: 5,
    errors.TimeRanOut: 6,
    errors.Unreachable: 7,
    errors.Unwell: 7,
    errors.Damaged: 8,
    errors.Busy: 9,
    errors.CancelledElsewhere: 10,
    errors.CannotWrite: 11,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_the_exit_status_of_its_row(kind):
    assert kind.exit_status == STATUS[kind]


def test_every_row_of_the_table_of_exit_statuses_has_its_error():
    page = next((page for page in PAGES if page.exists()), None)
    if page is None:
        pytest.skip("CLI.md is not beside this repository: the table cannot be compared")
    section = page.read_text(encoding="utf-8").split("\n## Exit status\n", 1)[1].split("\n## ", 1)[0]
    rows = {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert rows - {0} == {kind.exit_status for kind in KINDS}


def test_the_drawing_of_the_tree_shows_every_kind_with_its_status():
    drawn = re.findall(r"[├└]── (\w+) +(\d+)\s", errors.__doc__)
    assert {name: int(status) for name, status in drawn} == {kind.__name__: kind.exit_status for kind in KINDS}


def test_every_kind_has_a_code_of_its_own_for_scripts():
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z_]+", code) for code in codes)


def test_an_error_is_data_and_its_words_are_its_text():
    error = errors.CannotWrite("n.zip exists", hint="--overwrite replaces it", code="EXISTS")
    assert (str(error), error.message, error.hint, error.code) == (
        "n.zip exists",
        "n.zip exists",
        "--overwrite replaces it",
        "EXISTS",
    )
    assert errors.CannotWrite("x").code == "CANNOT_WRITE"
    assert errors.CannotWrite("x").hint is None
