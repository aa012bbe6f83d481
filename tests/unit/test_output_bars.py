"""The two bars, by what they leave on a screen that obeys what is written to it."""

from tqdm import tqdm

from exportctl.model.lines import (
    ConnectionChanged,
    ExportCancelled,
    Hello,
    Log,
    Outcome,
    Result,
)
from unit.bars_on_screen import completed, download, progress


def test_both_bars_are_there_from_the_first_moment(open_bench):
    bench = open_bench()
    bench.sink.tick()
    assert bench.screen.rows == ["Processing  waiting", "Downloading waiting"]
    bench.sink.close()


def test_the_bars_say_what_the_latest_lines_said(open_bench):
    bench = open_bench()
    assert bench.draw(progress(41.5), download(25.5, 12_300_000)) == [
        "Processing   41%|██████▏        | visualizations  5/12  ETA 0:12  cell_005.jpg",
        "Downloading  25%|███▊           | 12.3/48.2 MB  5.02 MB/s  ETA 0:07",
    ]
    bench.sink.close()


def test_the_time_to_go_counts_down_between_lines(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    assert "ETA 0:11" in bench.draw()[0]
    assert "ETA 0:10" in bench.draw()[0]
    bench.sink.close()


def test_a_line_draws_nothing_and_drawings_keep_their_distance(open_bench):
    bench = open_bench()
    bench.draw()
    writes = bench.screen.writes
    for number in range(1000):
        bench.take(progress(number / 10))
        bench.now += 0.001
        bench.sink.tick()
    assert bench.screen.writes - writes <= 11
    bench.sink.close()


def test_a_drawing_is_one_write(open_bench):
    bench = open_bench()
    bench.draw(progress(1.0))
    writes = bench.screen.writes
    bench.draw(progress(2.0), ConnectionChanged(state="polling", protocol=2))
    assert bench.screen.writes == writes + 1
    bench.sink.close()


def test_the_last_state_is_drawn_whenever_it_came(open_bench):
    bench = open_bench()
    bench.draw(progress(1.0))
    bench.take(progress(90.0, 11, "cell_011.jpg"), download(99.0, 48_000_000), completed())
    bench.sink.close()
    assert bench.screen.rows == [
        "Processing  100%|███████████████| done",
        "Downloading 100%|███████████████| 48.2 MB  verified",
        "Saved /data/x.zip (48.2 MB, verified)",
    ]
    assert (bench.screen.row, bench.screen.column) == (3, 0)


def test_the_last_state_is_drawn_though_nothing_was_before(open_bench):
    bench = open_bench()
    bench.take(progress(41.0))
    bench.sink.close()
    assert bench.screen.rows[0].startswith("Processing   41%|")


def test_a_command_that_ends_before_it_has_a_job_leaves_no_bars(open_bench):
    bench = open_bench()
    bench.draw(Hello(version="0", command="run", server=None))
    bench.sink.close()
    assert bench.screen.rows == []
    assert (bench.screen.row, bench.screen.column) == (0, 0)


def test_a_cancelled_job_keeps_its_share_and_says_so(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    bench.take(
        ExportCancelled(job_id="job-one-of-many", cancelled_by="user", cleanup_completed=True, message=None),
        Result(job_id="job-one-of-many", outcome=Outcome.CANCELLED, exit_code=130),
    )
    bench.sink.close()
    assert bench.screen.rows == [
        "cancelled by user; the server says that it has cleaned up",
        "Processing   41%|██████▏        | cancelled  visualizations  5/12",
        "Downloading not started",
    ]


def test_messages_stand_above_the_bars_and_once(open_bench):
    bench = open_bench()
    bench.draw(progress(41.5))
    lost = ConnectionChanged(state="reconnecting", protocol=2, reason="reset by peer", retry_in=2.0)
    remark = Log(job_id="job-one-of-many", level="warning", code="slow", message="the server is slow")
    bench.draw(lost, remark, lost, remark)
    rows = bench.draw(ConnectionChanged(state="connected", protocol=2), remark)
    assert rows[:3] == [
        "connection lost, reconnecting in 2.0 s: reset by peer",
        "warning: the server is slow",
        "connected (protocol 2)",
    ]
    assert rows[3].startswith("Processing   41%|")
    assert rows[4:] == ["Downloading waiting"]
    bench.sink.close()


def test_the_first_connection_is_no_news(open_bench):
    bench = open_bench()
    assert len(bench.draw(ConnectionChanged(state="connected", protocol=2))) == 2
    bench.sink.close()


def test_a_flood_of_messages_is_cut_and_counted(open_bench):
    bench = open_bench(lines=24)
    bench.take(*(Log(level="info", code="x", message=f"remark {number}") for number in range(1000)))
    bench.sink.close()
    assert len(bench.screen.rows) == 101
    assert bench.screen.rows[-1] == "and 900 more messages"


def test_no_thread_watches_over_the_bars(open_bench):
    bench = open_bench()
    bench.draw()
    assert tqdm.monitor is None
    bench.sink.close()
