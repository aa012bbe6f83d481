"""The lines' shape: facts that nobody can change, spelt with the vocabulary of the command line's page."""

import inspect

import pytest
from msgspec import Struct

from exportctl.model import lines

RECORDS = [
    thing
    for thing in vars(lines).values()
    if inspect.isclass(thing) and issubclass(thing, Struct) and thing is not Struct
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_line_cannot_be_changed_and_its_fields_are_named_where_it_is_made(record):
    assert record.__struct_config__.frozen
    assert not record.__match_args__  # all of them are keyword-only


def test_sources_and_outcomes_are_the_documented_words():
    assert [*lines.Source] == ["socket", "poll", "replay", "client"]
    assert {*lines.Outcome} == {"ok", "completed", "failed", "cancelled", "detached", "timeout", "error"}


def test_what_the_client_says_itself_is_of_the_source_client():
    assert lines.Log(level="info", code="c", message="m").source is lines.Source.CLIENT
