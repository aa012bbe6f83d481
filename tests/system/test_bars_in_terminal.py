"""The bars in a real terminal (tmux), by what a person sees on its screen.

The file is its own subject too: run as a script it is a command that takes recorded lines into the bars, one step for
each word that comes through a FIFO, and draws after each. So the test decides when something happens, and waits for
what must then be on the screen, never for time.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exportctl.model.lines import (
    ConnectionChanged,
    DownloadProgress,
    ExportCancelled,
    ExportCompleted,
    ExportDownloadReady,
    ExportPhaseChanged,
    ExportProgress,
    ExportStarted,
    Line,
    Numbered,
    Outcome,
    Result,
    Seconds,
)
from exportctl.output.bars import BarsSink
from exportctl.output.safe import width
from exportctl.protocol.events import StageProgress

JOB = "6f0c2b7e-1111-4222-8333-444455556666"
DEADLINE = 20.0
SHAPES = [(24, 24), (80, 24), (200, 50)]


def progress(percent: float, current: int, item: str, *, left: float | None = 95.0) -> ExportProgress:
    return ExportProgress(
        job_id=JOB,
        phase="processing",
        progress=percent,
        stage="visualizations",
        stage_progress=StageProgress(current=current, total=12, item=item),
        estimated_time_remaining=left,
    )


def download(percent: float, count: int) -> DownloadProgress:
    return DownloadProgress(
        job_id=JOB,
        phase="downloading",
        progress=percent,
        bytes=count,
        total_bytes=48_200_000,
        bytes_per_second=5_020_000.0,
        estimated_time_remaining=7.0,
    )


STEPS: dict[str, tuple[Line, ...]] = {
    "waiting": (),
    "again": (),
    "started": (ExportStarted(job_id=JOB, options=None, project_name="nuclei"),),
    "early": (progress(12.0, 1, "cell_001.jpg"),),
    "middle": (progress(41.5, 5, "buňka č. 5, velmi dlouhé jméno obrázku z mikroskopu 細胞画像.jpg"),),
    "backwards": (progress(9.5, 6, "cell_006.jpg"),),
    "lost": (ConnectionChanged(state="reconnecting", protocol=2, reason="\x1b[31mgone\x1b[0m\nnext"),),
    "downloading": (
        ExportPhaseChanged(job_id=JOB, from_phase="processing", to_phase="downloading", message=None, progress=100.0),
        ExportDownloadReady(job_id=JOB, file_name="nuclei.zip", file_size=48_200_000, sha256=None),
        ExportCompleted(job_id=JOB, warnings=(), processing_time=3.2),
        download(25.5, 12_300_000),
    ),
    "live": (download(12.5, 6_000_000),),
    "restarted": (download(25.5, 1_000_000),),
    "done": (
        download(100.0, 48_200_000),
        Result(
            job_id=JOB,
            outcome=Outcome.COMPLETED,
            exit_code=0,
            file="/data/nuclei-6f0c2b7e.zip",
            bytes=48_200_000,
            verified=True,
            warnings=("cell_003.jpg has no polygons", "cell_004.jpg is damaged"),
            seconds=Seconds(processing=3.2, downloading=9.6, total=12.8),
        ),
    ),
    "cancelled": (
        ExportCancelled(job_id=JOB, cancelled_by="user", cleanup_completed=True, message=None),
        Result(job_id=JOB, outcome=Outcome.CANCELLED, exit_code=130),
    ),
}


def play(fifo: str) -> None:
    """Take the lines of each step that is named on `fifo`, drawing after each; end with the word `end`, or Ctrl-C."""
    clock = {"now": 0.0}
    sink = BarsSink(sys.stderr, lambda: clock["now"])
    number = 0
    try:
        with Path(fifo).open(encoding="ascii") as words:
            for word in iter(words.readline, "end\n"):
                for line in STEPS[word.strip()]:
                    number += 1
                    sink.take(Numbered(seq=number, timestamp="", elapsed=0.0, correlation_id="", line=line))
                clock["now"] += 1.0
                sink.tick()
    except KeyboardInterrupt:
        sink.say("interrupted")
    finally:
        sink.close()


@dataclass
class Screen:
    """A window of tmux in which the script above runs."""

    socket: str
    fifo: int
    columns: int

    def step(self, name: str) -> None:
        os.write(self.fifo, f"{name}\n".encode())

    def resize(self, columns: int, lines: int) -> None:
        tmux(self.socket, "resize-window", "-t", "bars", "-x", str(columns), "-y", str(lines))
        self.columns = columns

    def rows(self) -> list[str]:
        shown = tmux(self.socket, "capture-pane", "-p", "-t", "bars")
        return shown.rstrip("\n").split("\n")

    def colours(self) -> str:
        return tmux(self.socket, "capture-pane", "-p", "-e", "-t", "bars")

    def cursor(self) -> tuple[int, int]:
        """Return column and row of the cursor, which must be visible."""
        told = tmux(self.socket, "display-message", "-p", "-t", "bars", "#{cursor_flag} #{cursor_x} #{cursor_y}")
        is_visible, column, row = told.split()
        assert is_visible == "1"
        return int(column), int(row)

    def until(self, holds: Callable[[list[str]], bool], expected: str) -> list[str]:
        deadline = time.monotonic() + DEADLINE
        while True:
            rows = self.rows()
            if holds(rows):
                return rows
            if time.monotonic() > deadline:
                pytest.fail(f"never on the screen: {expected}\n" + "\n".join(rows))

    def until_bars(self, processing: str, downloading: str) -> list[str]:
        """Wait until the last two rows are the two bars, and say so."""

        def holds(rows: list[str]) -> bool:
            return (
                len(rows) >= 2
                and rows[-2].startswith("Processing")
                and processing in rows[-2]
                and rows[-1].startswith("Downloading")
                and downloading in rows[-1]
            )

        return self.until(holds, f"{processing} / {downloading}")


def tmux(socket: str, *words: str) -> str:
    ran = subprocess.run(
        ["tmux", "-u", "-S", socket, "-f", os.devnull, *words],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=DEADLINE,
    )
    return ran.stdout


@pytest.fixture
def open_screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed: no terminal to look at")
    screens: list[Screen] = []
    folders: list[tempfile.TemporaryDirectory[str]] = []

    def start(columns: int, lines: int, *, above: int = 0) -> Screen:
        fifo = tmp_path / "steps"
        # A server of its own: the last test's may still be going. Its socket's path must be short.
        folder = tempfile.TemporaryDirectory(prefix="bars-", dir="/tmp")
        folders.append(folder)
        socket = f"{folder.name}/tmux"
        os.mkfifo(fifo)
        command = shlex.join([sys.executable, __file__, str(fifo)])
        found = 'before=$(stty -g); trap : INT; {}; [ "$before" = "$(stty -g)" ] && echo AS FOUND; cat'
        script = (
            f"export PYTHONUTF8=1; i=0; while [ $i -lt {above} ]; do i=$((i+1)); echo $i; done; {found.format(command)}"
        )
        tmux(socket, "new-session", "-d", "-s", "bars", "-x", str(columns), "-y", str(lines), script)
        # Opened for both, so that opening waits for nobody.
        screen = Screen(socket=socket, fifo=os.open(fifo, os.O_RDWR), columns=columns)
        screens.append(screen)
        return screen

    yield start
    for screen in screens:
        os.close(screen.fifo)
        tmux(screen.socket, "kill-server")
    for folder in folders:
        folder.cleanup()


def is_width_kept(screen: Screen, rows: list[str]) -> bool:
    """Whether no row is wider than tqdm draws: the last column stays free."""
    return all(width(row) < screen.columns for row in rows)


@pytest.mark.parametrize(("columns", "lines"), SHAPES)
def test_a_whole_run_in_a_window_that_keeps_its_size(open_screen, columns, lines):
    screen = open_screen(columns, lines)
    screen.step("waiting")
    assert screen.until_bars("waiting", "waiting") == ["Processing  waiting", "Downloading waiting"]
    screen.step("started")
    screen.step("middle")
    rows = screen.until_bars(" 41%|", "waiting")
    assert len(rows) == 2
    assert is_width_kept(screen, rows)
    screen.step("downloading")
    rows = screen.until_bars("100%|", " 25%|")
    assert len(rows) == 2
    assert is_width_kept(screen, rows)
    screen.step("done")
    screen.step("end")
    rows = screen.until(lambda rows: "AS FOUND" in rows, "the end, and the terminal as it was found")
    text = "".join(rows)
    assert "Processing  100%|" in text
    assert "Downloading 100%|" in text
    assert "Saved /data/nuclei-6f0c2b7e.zip (48.2 MB, verified) in 12.8 s, 2 warnings:" in text
    assert rows[-1] == "AS FOUND"
    assert screen.cursor() == (0, len(rows))


def test_everything_is_said_where_there_is_room_for_it(open_screen):
    screen = open_screen(200, 50)
    screen.step("middle")
    rows = screen.until_bars(" 41%|", "waiting")
    assert rows[0].endswith(
        "| visualizations  5/12  ETA 1:34  buňka č. 5, velmi dlouhé jméno obrázku z mikroskopu 細胞画像.jpg"
    )
    screen.step("downloading")
    rows = screen.until_bars("| done in 3.2 s", " 25%|")
    assert rows[1].endswith("| 12.3/48.2 MB  5.02 MB/s  ETA 0:06  nuclei.zip")


def test_progress_that_goes_back_waits(open_screen):
    screen = open_screen(80, 24)
    screen.step("middle")
    screen.until_bars(" 41%|", "waiting")
    screen.step("backwards")
    rows = screen.until_bars("6/12", "waiting")
    assert rows[0].startswith("Processing   41%|██████▏ ")
    screen.step("downloading")
    screen.until_bars("100%|", " 25%|")
    screen.step("restarted")
    rows = screen.until_bars("100%|", "1.0/48.2 MB")
    assert rows[1].startswith("Downloading  25%|███▊ ")


@pytest.mark.parametrize(("before", "after"), [((80, 24), (24, 24)), ((200, 50), (80, 24)), ((24, 24), (200, 50))])
def test_after_a_resize_the_bars_drawn_next_are_right_and_alone(open_screen, before, after):
    # Below other output, as at a prompt: where the window is not full, tmux moves wrapped rows out of sight by itself.
    screen = open_screen(*before, above=100)
    screen.step("middle")
    screen.step("live")
    screen.until_bars(" 41%|", " 12%|")
    screen.resize(*after)
    screen.step("downloading")
    rows = screen.until_bars("100%|", " 25%|")
    assert rows[-1].endswith("|" if after[0] == 24 else "nuclei.zip")
    assert is_width_kept(screen, rows)
    assert rows[-3] == "100", "rows of the old drawing are left"
    screen.step("again")
    screen.step("done")
    screen.step("end")
    rows = screen.until(lambda rows: "AS FOUND" in rows, "the end")
    assert sum(row.startswith("Processing") for row in rows) == 1
    assert sum(row.startswith("Downloading") for row in rows) == 1


def test_a_message_stands_above_the_bars_and_cannot_act_on_the_terminal(open_screen):
    screen = open_screen(80, 24)
    screen.step("middle")
    screen.step("lost")
    rows = screen.until_bars(" 41%|", "waiting")
    rows = screen.until(lambda rows: len(rows) == 3, "a message and two bars")
    assert rows[0] == r"connection lost, reconnecting: \e[31mgone\e[0m …"
    assert "\x1b[31m" not in screen.colours()


def test_a_cancelled_job_s_bars_stay_honest(open_screen):
    screen = open_screen(80, 24)
    screen.step("middle")
    screen.step("cancelled")
    screen.step("end")
    rows = screen.until(lambda rows: "AS FOUND" in rows, "the end")
    assert rows == [
        "cancelled by user; the server says that it has cleaned up",
        "Processing   41%|██████▏        | cancelled  visualizations  5/12",
        "Downloading not started",
        "AS FOUND",
    ]


def test_an_interrupted_command_leaves_the_last_state_and_a_fresh_line(open_screen):
    screen = open_screen(80, 24)
    screen.step("middle")
    screen.until_bars(" 41%|", "waiting")
    tmux(screen.socket, "send-keys", "-t", "bars", "C-c")
    rows = screen.until(lambda rows: "AS FOUND" in rows, "the end")
    assert rows[-4].endswith("interrupted")
    assert rows[-3].startswith("Processing   41%|██████▏        | visualizations  5/12")
    assert rows[-2:] == ["Downloading waiting", "AS FOUND"]


if __name__ == "__main__":
    play(sys.argv[1])
