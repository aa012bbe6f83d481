"""The laws of the reducer that `model/job.py` names, each for any history, and what each event does to a job."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from exportctl.model.job import Job, reduce
from exportctl.model.lines import ExportProgress, ExportStatusSync, Log, Source
from exportctl.protocol.events import (
    Cancelled,
    Completed,
    DownloadReady,
    Event,
    Failed,
    Heartbeat,
    PhaseChanged,
    Progress,
    StageProgress,
    Started,
    StatusSync,
    Unreadable,
)

JOB = "job-1"
PERCENT = st.none() | st.floats(0, 100)
PHASES = st.sampled_from(["processing", "downloading"])
STAGES = st.none() | st.sampled_from(["images", "visualizations", "compression"])
STAGE_PROGRESS = st.none() | st.builds(StageProgress, current=st.integers(0, 9), total=st.integers(0, 9))
GOES_ON = st.one_of(
    st.builds(Started, job_id=st.just(JOB), project_name=st.none() | st.text(max_size=3), project_id=st.just("p")),
    st.builds(
        Progress,
        job_id=st.just(JOB),
        phase=PHASES,
        stage=STAGES,
        progress=PERCENT,
        stage_progress=STAGE_PROGRESS,
    ),
    st.builds(PhaseChanged, job_id=st.just(JOB), from_phase=st.none() | PHASES, to_phase=PHASES),
    st.builds(DownloadReady, job_id=st.just(JOB), file_size=st.none() | st.integers(0, 99)),
    st.builds(Unreadable, job_id=st.just(JOB), name=st.text(max_size=3), reason=st.text(max_size=3)),
)
ENDS = st.one_of(
    st.builds(Completed, job_id=st.just(JOB), warnings=st.tuples(st.text(max_size=3))),
    st.builds(Failed, job_id=st.just(JOB), error=st.text(max_size=3)),
    st.builds(Cancelled, job_id=st.just(JOB), progress=PERCENT),
)
SYNC = st.builds(
    StatusSync,
    job_id=st.just(JOB),
    status=st.text(max_size=3),
    phase=st.none() | PHASES,
    progress=PERCENT,
    last_seq=st.none() | st.integers(0, 99),
)
BEAT = st.builds(Heartbeat, job_id=st.just(JOB), last_seq=st.integers(0, 99))
ANY = st.one_of(GOES_ON, ENDS, SYNC, BEAT)
SOURCES = st.sampled_from([Source.SOCKET, Source.POLL, Source.REPLAY])


def numbered(events):
    return [replace(event, seq=seq) for seq, event in enumerate(events, start=1)]


def told(events, *, job=None, source=Source.SOCKET):
    job = job or Job(job_id=JOB)
    lines = []
    for event in events:
        job, more = reduce(job, event, source)
        lines += more
    return job, lines


@given(before=st.lists(GOES_ON, max_size=5), end=ENDS, after=st.lists(ANY, max_size=8), has_numbers=st.booleans())
def test_an_end_absorbs_every_later_event(before, end, after, has_numbers):
    history = [*before, end]
    if has_numbers:
        history, after = numbered(history), [replace(one, seq=99 + at) for at, one in enumerate(after)]
    ended, _ = told(history)
    assert ended.end is not None
    for event in after:
        assert reduce(ended, event, Source.SOCKET) == (ended, ())
        assert reduce(ended, event, Source.SOCKET)[0] is ended


@given(history=st.lists(st.one_of(GOES_ON, ENDS), max_size=12).map(numbered), at=st.integers(0, 11))
def test_an_event_seen_twice_changes_nothing(history, at):
    assume(at < len(history))
    job, _ = told(history)
    again, lines = reduce(job, history[at], Source.REPLAY)
    assert again is job
    assert lines == ()


@given(event=ANY, source=SOURCES)
def test_an_event_of_another_job_returns_the_same_object(event, source):
    job = Job(job_id="another")
    same, lines = reduce(job, event, source)
    assert same is job
    assert lines == ()


@given(history=st.lists(ANY, max_size=20), has_numbers=st.booleans())
def test_progress_never_falls_within_a_phase(history, has_numbers):
    _, lines = told(numbered(history) if has_numbers else history)
    highest, phase = 0.0, "processing"
    for line in lines:
        if line.event == "export:phase-changed":
            phase, highest = line.to_phase, 0.0
        elif isinstance(line, ExportProgress):
            if line.phase != phase:
                phase, highest = line.phase, 0.0
            if line.progress is not None:
                assert line.progress >= highest
                highest = line.progress


@given(history=st.lists(st.one_of(GOES_ON, ENDS), max_size=15).map(numbered), cuts=st.data())
def test_a_history_seen_live_polled_or_replayed_ends_alike(history, cuts):
    """Any source, with anything seen before told again in between, and any news of the job's state on the way."""
    live, live_lines = told(history)
    other, other_lines = Job(job_id=JOB), []
    for at, event in enumerate(history):
        for old in cuts.draw(st.lists(st.sampled_from(history[:at]), max_size=2)) if at else []:
            other, more = reduce(other, old, cuts.draw(SOURCES))
            other_lines += more
        if cuts.draw(st.booleans()):
            other, _ = reduce(other, cuts.draw(SYNC), Source.SOCKET)
        other, more = reduce(other, event, cuts.draw(SOURCES))
        other_lines += more
    assert other == live
    assert [replace(line, source=Source.SOCKET) for line in other_lines] == live_lines


@given(history=st.lists(GOES_ON, max_size=5), event=st.one_of(SYNC, BEAT))
def test_news_of_the_state_and_signs_of_life_move_nothing(history, event):
    job, _ = told(numbered(history))
    same, lines = reduce(job, event, Source.SOCKET)
    assert same is job
    assert [type(line) for line in lines] == ([ExportStatusSync] if isinstance(event, StatusSync) else [])


@given(history=st.lists(st.one_of(GOES_ON, ENDS), min_size=1, max_size=10).map(numbered))
def test_every_line_carries_the_servers_number_and_names_its_job(history):
    _, lines = told(history, job=Job(job_id=JOB, project_id="p"))
    numbers = [line.server_seq for line in lines if not isinstance(line, Log)]  # a remark names it in words
    assert numbers == sorted(set(numbers))
    assert all((line.job_id, line.project_id) == (JOB, "p") for line in lines)


def test_a_good_run_ends_with_all_that_the_download_needs():
    ready = DownloadReady(job_id=JOB, seq=4, file_name="n.zip", file_size=9, sha256="ab")
    end = Completed(job_id=JOB, seq=5, warnings=("w",), processing_time=1.5)
    job, lines = told(
        [
            Started(job_id=JOB, project_id="p", seq=1, project_name="Nuclei", correlation_id="c"),
            Progress(job_id=JOB, seq=2, stage="images", progress=40.0),
            PhaseChanged(job_id=JOB, seq=3, from_phase="processing", to_phase="downloading"),
            ready,
            end,
        ]
    )
    assert job == Job(
        job_id=JOB, project_id="p", project_name="Nuclei", seq=5, phase="downloading", archive=ready, end=end
    )
    assert [line.event for line in lines] == [
        "export:started",
        "export:progress",
        "export:phase-changed",
        "export:download-ready",
        "export:completed",
    ]
    assert lines[0].job_correlation_id == "c"


def test_a_progress_that_falls_is_told_at_its_highest():
    _, lines = told([Progress(job_id=JOB, progress=percent) for percent in (41.0, 9.5, 23.0, None, 59.0)])
    assert [line.progress for line in lines] == [41.0, 41.0, 41.0, 41.0, 59.0]


def test_a_straggler_without_a_number_does_not_bring_a_phase_back():
    _, lines = told(
        [
            Progress(job_id=JOB, seq=1, progress=100.0),
            PhaseChanged(job_id=JOB, seq=2, to_phase="downloading"),
            Progress(job_id=JOB, progress=77.0),
        ]
    )
    assert [line.event for line in lines] == ["export:progress", "export:phase-changed"]


def test_what_an_event_does_not_name_stays_as_it_was_known():
    """Stages run side by side, and some events name none (WIRE.md, 2)."""
    job, _ = told(
        [
            Progress(job_id=JOB, stage="images", stage_progress=StageProgress(current=1, total=2), progress=5.0),
            Progress(job_id=JOB, progress=6.0),
        ]
    )
    assert (job.stage, job.stage_progress, job.progress) == ("images", StageProgress(current=1, total=2), 6.0)


def test_news_of_the_state_name_the_project_that_is_known():
    _, lines = told([StatusSync(job_id=JOB, status="processing", last_seq=3)], job=Job(job_id=JOB, project_id="p"))
    assert (lines[0].project_id, lines[0].status, lines[0].last_seq) == ("p", "processing", 3)


def test_a_numbered_event_that_is_not_understood_is_counted_and_told_as_a_remark():
    event = Unreadable(job_id=JOB, seq=3, name="export:\x1b[2J" + "x" * 99, reason="unknown event")
    job, (line,) = reduce(Job(job_id=JOB, seq=2), event, Source.POLL)
    assert (job.seq, line.event, line.code) == (3, "log", "event-not-understood")
    assert line.message.startswith("event 3 of this job is not understood: 'export:\\x1b[2Jxxx")
    assert len(line.message) < 140


@pytest.mark.parametrize("event", [Event(job_id=JOB, seq=3), Unreadable(job_id=JOB, name="x", reason="new")])
def test_any_other_event_without_meaning_for_this_client_passes_in_silence(event):
    job, lines = reduce(Job(job_id=JOB, seq=2), event, Source.POLL)
    assert (job.seq, lines) == (event.seq or 2, ())


def test_progress_leaves_all_that_it_does_not_tell_as_it_was():
    """Its job is made field by field: a new field of `Job` must not be forgotten there."""
    known = {field: f"the {field}" for field in Job.__struct_fields__}
    before = Job(**{**known, "seq": 1, "progress": 1.0, "end": None})
    after, _ = reduce(before, Progress(job_id=before.job_id, seq=2, phase=before.phase, progress=2.0), Source.SOCKET)
    assert after == replace(before, seq=2, progress=2.0)
