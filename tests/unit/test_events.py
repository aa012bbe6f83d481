"""The events' shape: facts that nobody can change, and a complete vocabulary."""

import inspect
from typing import get_args

import pytest

from exportctl.protocol import events
from exportctl.protocol.dialects import dialect2

RECORDS = [thing for thing in vars(events).values() if inspect.isclass(thing) and issubclass(thing, events.Event)]
WIRE = {
    # WIRE.md, Events
    "export:started": events.Started,
    "export:progress": events.Progress,
    "export:phase-changed": events.PhaseChanged,
    "export:download-ready": events.DownloadReady,
    "export:completed": events.Completed,
    "export:failed": events.Failed,
    "export:cancelled": events.Cancelled,
    # beside the log
    "export:status-sync": events.StatusSync,
    "export:heartbeat": events.Heartbeat,
}
SMALLEST = {"jobId": "j", "toPhase": "downloading", "lastSeq": 1}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_a_fact_cannot_be_changed_and_its_fields_are_named_where_it_is_made(record):
    assert record.__struct_config__.frozen
    assert not record.__match_args__  # all of them are keyword-only


@pytest.mark.parametrize(("name", "kind"), WIRE.items())
def test_every_event_of_the_wire_is_a_fact_of_its_own(name, kind):
    assert type(dialect2.decode(name, SMALLEST)) is kind


def test_no_event_of_the_vocabulary_is_without_a_name_on_the_wire():
    assert set(get_args(events.AnyEvent)) - {events.Unreadable} == set(WIRE.values())
    assert set(dialect2._READERS) == set(WIRE)


def test_a_job_has_three_ends():
    assert set(get_args(events.End)) == {events.Completed, events.Failed, events.Cancelled}
