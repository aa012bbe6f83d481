"""The bars of several jobs: those that run are shown as the window has room, and the rest is counted."""

from exportctl.model.lines import (
    ExportStarted,
)
from unit.bars_on_screen import completed, progress


def test_each_of_several_jobs_has_its_bars_and_leaves_them_above_when_it_ends(open_bench):
    bench = open_bench()
    rows = bench.draw(progress(10.0, job="aaaaaaaa-1"), progress(20.0, job="bbbbbbbb-2"))
    assert [row[:25] for row in rows] == [
        "aaaaaaaa Processing   10%",
        "aaaaaaaa Downloading wait",
        "bbbbbbbb Processing   20%",
        "bbbbbbbb Downloading wait",
    ]
    rows = bench.draw(completed("aaaaaaaa-1", warnings=("one", "two")), progress(30.0, job="bbbbbbbb-2"))
    assert [row[:25] for row in rows] == [
        "aaaaaaaa Processing  100%",
        "aaaaaaaa Downloading 100%",
        "Saved /data/x.zip (48.2 M",
        "  one",
        "  two",
        "bbbbbbbb Processing   30%",
        "bbbbbbbb Downloading wait",
    ]
    bench.take(completed("bbbbbbbb-2"))
    bench.sink.close()
    assert [row[:25] for row in bench.screen.rows[5:]] == [
        "bbbbbbbb Processing  100%",
        "bbbbbbbb Downloading 100%",
        "Saved /data/x.zip (48.2 M",
    ]


def test_more_jobs_than_the_window_has_rows_are_shown_as_room_comes(open_bench):
    bench = open_bench(80, 8)
    jobs = [f"job{number}-----" for number in range(6)]
    rows = bench.draw(*(progress(10.0, job=job) for job in jobs))
    assert len(rows) == 5
    assert rows[-1].strip() == "and 4 more jobs"
    rows = bench.draw(completed(jobs[0]))
    assert rows[-2].startswith("job2")
    assert rows[-1].strip() == "and 3 more jobs"
    for job in jobs[1:]:
        bench.take(completed(job))
    bench.sink.close()
    assert sum("Processing  100%" in row for row in bench.screen.rows) == 6


def test_of_two_hundred_jobs_those_that_run_are_shown_and_the_rest_is_counted(open_bench):
    bench = open_bench(80, 24)
    rows = bench.draw(
        *(ExportStarted(job_id=f"wait{number:04}", options=None, project_name="n") for number in range(196)),
        *(progress(10.0, job=f"run{number}-----") for number in range(4)),
    )
    assert len(rows) == 21
    assert [row[:4] for row in rows[:8:2]] == ["run0", "run1", "run2", "run3"]
    assert rows[-1].strip() == "and 190 more jobs"
    bench.sink.close()
