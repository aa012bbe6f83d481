"""Recorded lines handed to the sinks that drew them first, in their own time, faster, or as they come."""

import math
import os
import signal
import sys
import time
from datetime import UTC, datetime

from exportctl.commands.body.alone import Alone, within
from exportctl.commands.body.edges import pass_on, show
from exportctl.commands.body.recording import Recording
from exportctl.commands.body.refusing import refuse
from exportctl.commands.options import Shared
from exportctl.model.errors import ExportctlError, Usage
from exportctl.model.lines import Hello, Numbered
from exportctl.output.choose import ProgressSink, choose_progress, make_sinks
from exportctl.output.colour import wants_colour

TICK_SECONDS = 0.1
_LONGEST_STEP = 30 * 86_400.0
"""Seconds between two lines: what is said to have taken longer is not waited for."""


class _Clock:
    """The time of the recording: where its next line stands in ours, and its own time of day."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._base = 0.0
        self._latest: Numbered | None = None

    def due(self, numbered: Numbered) -> float:
        """Return the monotonic second at which the line is to be shown."""
        step = numbered.elapsed - self.elapsed()
        if isinstance(numbered.line, Hello) or not 0 <= step <= _LONGEST_STEP:
            self._began, self._base = time.monotonic(), numbered.elapsed  # another run begins in the same file
        self._latest = numbered
        return self._began + (numbered.elapsed - self._base) / self._speed if self._speed else 0.0

    def elapsed(self) -> float:
        """Return the recording's own monotonic seconds."""
        return self._latest.elapsed if self._latest else 0.0

    def now(self) -> datetime:
        """Return the recording's time of day."""
        try:
            moment = datetime.fromisoformat(self._latest.timestamp if self._latest else "")
        except ValueError:
            moment = datetime.now(UTC)
        return moment.astimezone()


class _Interrupts:
    """Ctrl-C: at a pipe the first one goes to the writer too, whose end is still worth drawing; the second ends all."""

    def __init__(self, *, is_patient: bool) -> None:
        self.caught: signal.Signals | None = None
        self._is_patient = is_patient
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._take)

    def _take(self, number: int, _frame: object) -> None:
        is_first = self.caught is None
        self.caught = self.caught or signal.Signals(number)
        if not (is_first and self._is_patient and number == signal.SIGINT):
            raise KeyboardInterrupt


def render(file: str, *, speed: str | None, shared: Shared) -> int:
    """Draw the recording to its end; return the exit status. Lines are told of itself, not those it reads."""
    try:
        factor = parse_speed(speed)
        recording = Recording(file)
        told = Alone("render", shared)
    except ExportctlError as error:
        return refuse("render", error, shared)
    except BrokenPipeError:
        pass_on(signal.SIGPIPE)
        return 0
    if speed is None and recording.is_file:
        factor = 1.0
    clock = _Clock(factor)
    sink = _sink(shared, clock)
    interrupts = _Interrupts(is_patient=not recording.is_file)
    problem: ExportctlError | None = None
    count = 0
    try:
        with within(shared.timeout):
            for numbered in recording.lines(TICK_SECONDS):
                count += numbered is not None
                _show(numbered, sink, clock)
    except KeyboardInterrupt:
        pass
    except ExportctlError as error:
        problem = error
    recording.close()
    if sink is not None:
        if not count and not interrupts.caught and problem is None:
            sink.say(f"no line of exportctl in {recording.name}: nothing to draw")
        sink.close()
    status = _told(told, problem, interrupts)
    pass_on(interrupts.caught)
    return status


def _told(told: Alone, problem: ExportctlError | None, interrupts: _Interrupts) -> int:
    try:
        if problem is not None:
            return told.fail(problem)
        return told.end() if interrupts.caught is None else told.leave(interrupts.caught)
    except BrokenPipeError:
        interrupts.caught = interrupts.caught or signal.SIGPIPE
    except ExportctlError as error:
        show(error, quiet=True)
        return error.exit_status
    return 0


def parse_speed(text: str | None) -> float | None:
    """Return how many times as fast; None for as fast as it goes. Raises `Usage`."""
    if text is None or text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (speed > 0 and math.isfinite(speed)):
        raise Usage(f"--speed {text!r} is no speed", hint="a number above 0, or max")
    return speed


def _show(numbered: Numbered | None, sink: ProgressSink | None, clock: _Clock) -> None:
    if sink is None:
        return
    if numbered is not None:
        due = clock.due(numbered)
        while (left := due - time.monotonic()) > 0:
            sink.tick()
            time.sleep(min(left, TICK_SECONDS))
        sink.take(numbered)
    sink.tick()


def _sink(shared: Shared, clock: _Clock) -> ProgressSink | None:
    stderr = sys.stderr
    is_terminal = stderr is not None and stderr.isatty()
    shown = choose_progress(shared.progress, is_terminal=is_terminal, term=os.environ.get("TERM"), quiet=shared.quiet)
    return make_sinks(
        shown=shown,
        colour=wants_colour(os.environ.get, is_terminal=is_terminal),
        ndjson=False,
        events=None,
        stderr=stderr,
        monotonic=clock.elapsed if shown == "plain" else time.monotonic,
        local_now=clock.now,
    ).progress
