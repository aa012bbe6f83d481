"""A row fits every width, says the most important first, and never claims more than is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.model.lines import (
    DownloadProgress,
    ExportCancelled,
    ExportCompleted,
    ExportDownloadReady,
    ExportFailedLine,
    ExportProgress,
    Outcome,
    Result,
    Seconds,
)
from exportctl.output import rows
from exportctl.output.layout import fit
from exportctl.output.safe import width, width_at_most
from exportctl.output.views import Views
from exportctl.protocol.events import StageProgress

OURS = str.maketrans("", "", "\u2068\u2069")
"""The marks around names from right to left."""
BUSY = rows.Row(
    label="Processing",
    percent=41.9,
    has_bar=True,
    words=(
        rows.Words(text="visualizations", rank=3, least=6),
        rows.Words(text="5/12", rank=1),
        rows.Words(text="ETA 0:12", rank=2),
        rows.Words(text="cell_005.jpg", rank=4, least=8, is_file=True),
    ),
)
WAITING = rows.Row(label="Downloading", percent=None, has_bar=False, words=(rows.Words(text="waiting", rank=0),))


def view_after(*lines):
    views = Views(monotonic=lambda: 100.0)
    for line in lines:
        views.update(line)
    return views.by_id["j"]


def processing(percent, **more):
    return ExportProgress(job_id="j", phase="processing", progress=percent, **more)


def download(percent, count, total, **more):
    facts = {"bytes_per_second": 5_020_000.0, "estimated_time_remaining": 7.0} | more
    return DownloadProgress(job_id="j", phase="downloading", progress=percent, bytes=count, total_bytes=total, **facts)


def words(row):
    return [piece.text for piece in row.words]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (199, "Processing   41%|[39]| visualizations  5/12  ETA 0:12  cell_005.jpg"),
        (75, "Processing   41%|[15]| visualizations  5/12  ETA 0:12  ce…05.jpg"),
        (79, "Processing   41%|[15]| visualizations  5/12  ETA 0:12  cell_005.jpg"),
        (70, "Processing   41%|[14]| visualizations  5/12  ETA 0:12"),
        (60, "Processing   41%|[12]| visualizatio…  5/12  ETA 0:12"),
        (50, "Processing   41%|[10]| 5/12  ETA 0:12"),
        (40, "Processing   41%|[8]| visual…  5/12"),
        (30, "Processing   41%|[6]| 5/12"),
        (23, "Processing   41%|[4]|"),
        (21, "Processing   41%|[3]|"),
        (20, "Processing   41%"),
        (12, "41%"),
        (0, ""),
    ],
)
def test_the_least_important_words_give_way_first(columns, shown):
    frame = fit(BUSY, columns)
    assert frame.head + (f"[{frame.cells}]" if frame.cells else "") + frame.tail == shown


def test_a_phase_that_waits_says_so_at_every_width():
    assert fit(WAITING, 23).head == "Downloading waiting"
    assert fit(WAITING, 15).head == "Downloading wa…"


def test_several_jobs_are_told_apart_by_name():
    assert fit(BUSY, 79, name="6f0c2b7e").head == "6f0c2b7e Processing   41%|"


texts = st.text(st.characters(exclude_categories=[]), max_size=60)
names = st.one_of(texts, st.text("細胞画像🧫", max_size=40), st.text("e\u0301\u0320\u094d", max_size=40))


@given(
    columns=st.one_of(st.sampled_from([23, 79, 199]), st.integers(0, 220)),
    percent=st.one_of(st.none(), st.floats(0, 100)),
    has_bar=st.booleans(),
    pieces=st.lists(
        st.builds(rows.Words, text=names, rank=st.integers(0, 5), least=st.one_of(st.none(), st.integers(1, 12))),
        max_size=6,
    ),
    ascii_only=st.booleans(),
)
def test_no_line_is_wider_than_its_window_whatever_the_names(columns, percent, has_bar, pieces, ascii_only):
    row = rows.Row(label="Downloading", percent=percent, has_bar=has_bar, words=tuple(pieces))
    frame = fit(row, columns, ascii_only=ascii_only)
    text = (frame.head + frame.tail).removesuffix("\x1b[K")
    assert width_at_most(text) + frame.cells <= columns
    assert text.translate(OURS).isprintable()
    assert text.isascii() or not ascii_only
    if width(text) != width_at_most(text):
        assert (frame.head + frame.tail).endswith("\x1b[K")


@given(st.integers(24, 220), st.lists(st.integers(0, 99), min_size=2, max_size=2))
def test_the_bar_is_as_long_whatever_the_words_behind_it(columns, percents):
    frames = [
        fit(rows.Row(label="Processing", percent=percent, has_bar=True, words=BUSY.words[: percent % 5]), columns)
        for percent in percents
    ]
    assert len({frame.cells for frame in frames}) == 1


def test_processing_tells_stage_count_time_and_item():
    view = view_after(
        processing(
            41.5,
            stage="visualizations",
            stage_progress=StageProgress(current=5, total=12, item="a.jpg"),
            estimated_time_remaining=12.0,
        )
    )
    assert words(rows.processing(view, 100.0)) == ["visualizations", "5/12", "ETA 0:12", "a.jpg"]
    assert words(rows.processing(view, 105.0))[2] == "ETA 0:07"
    assert words(rows.processing(view, 113.0))[2] == "ETA 0:00"
    assert words(rows.processing(view, 500.0))[2] == rows.NO_ETA, "long overdue, nobody knows"


def test_an_unknown_time_to_go_is_shown_as_unknown():
    assert words(rows.processing(view_after(processing(5.0)), 100.0)) == [rows.NO_ETA]


def test_an_event_without_a_stage_keeps_the_stage_and_its_count():
    view = view_after(
        processing(5.0, stage="images", stage_progress=StageProgress(current=2, total=3)), processing(6.0)
    )
    assert words(rows.processing(view, 100.0))[:2] == ["images", "2/3"]


def test_another_stage_does_not_inherit_the_count_of_the_one_before():
    view = view_after(
        processing(5.0, stage="images", stage_progress=StageProgress(current=2, total=3)),
        processing(6.0, stage="metrics"),
    )
    assert words(rows.processing(view, 100.0)) == ["metrics", rows.NO_ETA]


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=1, max_size=20))
def test_neither_share_ever_falls(percents):
    views = Views(monotonic=lambda: 0.0)
    before = (-1.0, -1.0)
    for percent in percents:
        views.update(processing(percent))
        views.update(download(percent, 5, 10))
        view = views.by_id["j"]
        now = (rows.processing(view, 0.0).percent or 0.0, rows.downloading(view, 0.0).percent or 0.0)
        assert now >= before
        before = now


def test_a_hundred_is_shown_only_when_the_phase_is_over():
    assert rows.processing(view_after(processing(100.0)), 0.0).percent == 99.0
    assert rows.downloading(view_after(download(100.0, 10, 10)), 0.0).percent == 99.0
    ended = view_after(processing(98.0), ExportCompleted(job_id="j", warnings=(), processing_time=3.24))
    assert rows.processing(ended, 0.0).percent == 100.0
    assert words(rows.processing(ended, 0.0)) == ["done in 3.2 s"]


def test_downloading_tells_bytes_rate_time_and_name():
    ready = ExportDownloadReady(job_id="j", file_name="nuclei.zip", file_size=48_200_000, sha256=None)
    row = rows.downloading(view_after(ready, download(25.5, 12_300_000, 48_200_000)), 101.0)
    assert words(row) == ["12.3/48.2 MB", "5.02 MB/s", "ETA 0:06", "nuclei.zip"]


def test_a_download_of_unknown_size_shows_bytes_and_no_share():
    row = rows.downloading(view_after(download(None, 12_300_000, None, estimated_time_remaining=None)), 100.0)
    assert row.percent is None
    assert words(row)[0] == "12.3 MB"
    assert fit(row, 60).head == "Downloading    ?|"


def test_a_restarted_download_shows_fewer_bytes_and_waits_at_its_share():
    row = rows.downloading(view_after(download(50.0, 5_000, 10_000), download(50.0, 100, 10_000)), 100.0)
    assert row.percent == 50.0
    assert words(row)[0] == "0.1/10.0 kB"


FAILED = ExportFailedLine(job_id="j", error="disk full", code=None, hint=None, stage=None, retryable=None)
CANCELLED = ExportCancelled(job_id="j", cancelled_by="user", cleanup_completed=True, message=None)


@pytest.mark.parametrize(
    ("end", "word"),
    [
        (FAILED, "failed"),
        (CANCELLED, "cancelled"),
        (Result(job_id="j", outcome=Outcome.DETACHED, exit_code=0), "detached"),
        (Result(job_id="j", outcome=Outcome.TIMEOUT, exit_code=6), "timed out"),
        (Result(job_id="j", outcome=Outcome.ERROR, exit_code=7), "stopped"),
    ],
)
def test_a_bad_end_is_named_and_the_share_stays_what_it_was(end, word):
    view = view_after(processing(41.0), end)
    assert rows.processing(view, 0.0).percent == 41.0
    assert words(rows.processing(view, 0.0)) == [word]
    assert words(rows.downloading(view, 0.0)) == ["not started"]
    fetching = view_after(processing(41.0), download(25.0, 1, 4), end)
    assert rows.downloading(fetching, 0.0).percent == 25.0
    assert words(rows.downloading(fetching, 0.0))[0] == word


def test_a_good_end_is_whole_and_verified():
    result = Result(
        job_id="j",
        outcome=Outcome.COMPLETED,
        exit_code=0,
        file="/x.zip",
        bytes=482_158,
        verified=True,
        seconds=Seconds(downloading=0.8),
    )
    row = rows.downloading(view_after(result), 0.0)
    assert row.percent == 100.0
    assert words(row) == ["482 kB", "verified", "in 0.8 s"]
    assert rows.processing(view_after(result), 0.0).percent == 100.0


def test_a_completed_job_whose_archive_was_not_fetched_says_so():
    row = rows.downloading(view_after(Result(job_id="j", outcome=Outcome.COMPLETED, exit_code=130)), 0.0)
    assert (row.has_bar, words(row)) == (False, ["not fetched"])


@pytest.mark.parametrize("columns", [24, 60, 80, 200])
def test_a_name_from_right_to_left_moves_nothing_beside_it_and_fits(columns):
    name = "תאים_של_ניסוי_ארוך_מאוד_עם_שם_שלא_נגמר_0012.png"
    counts = StageProgress(current=12, total=99, item=name)
    frame = fit(rows.processing(view_after(processing(12.0, stage_progress=counts)), 100.0), columns)
    shown = f"{frame.head}{' ' * frame.cells}{frame.tail}"
    assert width_at_most(shown.replace("\x1b[K", "")) <= columns
    assert shown.count("\u2068") == shown.count("\u2069")
    if columns >= 80:
        assert "0012.png\u2069" in frame.tail


@pytest.mark.parametrize(("columns", "shown"), [(24, "6f0c2b7e Processing 41%"), (20, "6f0c2b7e 41%"), (6, "6f0c2…")])
def test_a_job_among_many_keeps_its_share_in_a_narrow_window(columns, shown):
    assert fit(BUSY, columns, name="6f0c2b7e").head == shown


def test_the_count_of_the_rest_begins_at_the_edge_of_a_narrow_window():
    assert fit(rows.more(190), 24).head == "and 190 more jobs"
