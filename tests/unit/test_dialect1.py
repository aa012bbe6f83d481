"""Protocol 1's events as the facts of protocol 2: each made fit by itself, strange ones told as what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.protocol.dialects import dialect1, wording
from exportctl.protocol.events import (
    AnyEvent,
    Cancelled,
    Completed,
    Failed,
    Progress,
    StageProgress,
    Started,
    Unreadable,
)

JOB = "j1"
STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
NAMES = ["export:started", "export:progress", "export:completed", "export:failed", "export:cancelled"]
KEYS = ["jobId", "progress", "phase", "stage", "message", "stageProgress", "error", "warnings", "cleanupCompleted"]


def told(name, **data):
    return dialect1.decode(f"export:{name}", {"jobId": JOB} | data)


@given(name=st.sampled_from(NAMES) | st.text(max_size=5), data=STRANGE)
def test_nothing_that_is_sent_raises(name, data):
    assert isinstance(dialect1.decode(name, data), AnyEvent)


@given(name=st.sampled_from(NAMES), data=st.dictionaries(st.sampled_from(KEYS), STRANGE))
def test_strange_values_at_known_keys_raise_nothing_either(name, data):
    event = dialect1.decode(name, {"jobId": JOB} | data)
    assert isinstance(event, AnyEvent)
    if isinstance(event, Progress):
        assert event.progress is None or 0 <= event.progress <= 100


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(6.4399999999999995, 6.44), (10.219999999999999, 10.22), (0, 0), (100, 100), (-3, 0), (101, 100)],
)
def test_progress_has_no_noise_and_stays_in_bounds(raw, shown):
    assert told("progress", progress=raw).progress == shown


@pytest.mark.parametrize("raw", [None, "5", float("nan"), float("inf"), [], True])
def test_a_progress_that_is_no_number_is_none(raw):
    assert told("progress", progress=raw).progress is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Processing... 0%", "Processing"),
        ("Copying original images (60/120)... 14%", "Copying original images (60/120)"),
        ("Creating annotation files (35/120)... 10.219999999999999%", "Creating annotation files (35/120)"),
        ("Creating archive... 95%", "Creating archive"),
        ("Almost there", "Almost there"),
        ("50% of it", "50% of it"),
    ],
)
def test_messages_are_worded_as_protocol_2_words_them(said, message):
    assert told("progress", message=said).message == message


def test_a_stage_has_its_template_and_counts():
    counted = {"current": 5, "total": 50, "currentItem": "a.png"}
    event = told("progress", stage="images", message="Copying original images (5/50)... 9%", stageProgress=counted)
    assert event.stage_progress == StageProgress(current=5, total=50, item="a.png")
    assert (event.template, event.data) == ("export.stage.images", {"current": 5, "total": 50, "fileName": "a.png"})
    assert event.message == "Copying original images (5/50): a.png"


def test_a_stage_of_another_name_is_shown_and_has_no_template():
    event = told("progress", stage="upload", message="Uploading... 3%")
    assert (event.stage, event.template, event.message) == ("upload", None, "Uploading")


@pytest.mark.parametrize("stage", [None, "compression", "visualizations"])
def test_what_the_server_calls_downloading_is_compression(stage):
    event = told("progress", phase="downloading", progress=95, message="Generating... 95%", stage=stage)
    assert (event.phase, event.stage) == ("processing", "compression")


@pytest.mark.parametrize(
    "text",
    ["Export cancelled by user", "export canceled by user.", "Export was cancelled", " Export cancelled by user\n"],
)
def test_a_failure_that_is_a_cancellation_is_told_as_one(text):
    assert isinstance(told("failed", error=text), Cancelled)


@pytest.mark.parametrize("text", ["Export failed", "cancelled", "The disk of the export cancelled it", "", None])
def test_other_failures_are_failures(text):
    event = told("failed", error=text)
    assert isinstance(event, Failed)
    assert event.error


def test_a_failure_is_its_first_line_without_the_servers_folders():
    event = told("failed", error="\n\n ENOENT: open '/srv/app/x/a.zip'\n  at /srv/app/y.js:1\n")
    assert event.error == "ENOENT: open '…/a.zip'"


def test_a_cancellation_is_told_whole():
    event = told("cancelled", cancelledBy="user", progress=41.000000001, cleanupCompleted=True, message="Bye")
    assert event == Cancelled(job_id=JOB, cancelled_by="user", progress=41, cleanup_completed=True, message="Bye")


def test_an_end_keeps_its_warnings():
    assert told("completed", warnings=["2 of 3", 7]) == Completed(job_id=JOB, warnings=("2 of 3",))


@pytest.mark.parametrize("data", [None, [], "x", {}, {"jobId": 7}, {"operationId": "o", "message": "m"}])
def test_what_names_no_job_is_unreadable(data):
    assert isinstance(dialect1.decode("export:cancelled", data), Unreadable)


def test_an_event_of_another_name_is_unreadable_and_keeps_its_job():
    event = told("paused")
    assert isinstance(event, Unreadable)
    assert event.job_id == JOB


def test_a_start_is_a_start():
    assert told("started") == Started(job_id=JOB)


@given(st.text())
def test_what_is_shown_of_any_text_is_one_line(text):
    assert len(wording.shown(text).splitlines()) <= 1
