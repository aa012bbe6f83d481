"""Progress as timestamped lines, for logs of CI, mails of cron and terminals that cannot draw.

A line is written when a stage is first entered, when the connection changes, at the end, and every 30 s; never more
than one in 2 s, except ends and remarks, which never wait. What has to wait is said as it stands when its time comes,
once per subject. Times are local, with the date, since such a log is read days later.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from exportctl.model.lines import (
    ConnectionChanged,
    DownloadProgress,
    ExportCancelled,
    ExportFailedLine,
    ExportProgress,
    ExportStarted,
    Heartbeat,
    Log,
    Numbered,
    Outcome,
    Result,
)
from exportctl.output import ending
from exportctl.output.pace import may_write, should_write
from exportctl.output.safe import first_line, visible
from exportctl.output.terminal import Terminal
from exportctl.output.views import JobView, Views

_REMARKS_SHOWN = 20
_JOBS_SHOWN = 5
_WAITING_COLUMNS = 120


class PlainSink:
    """Writes a few lines, each with its time. `now` gives a local time, `monotonic` seconds."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._terminal = Terminal(stream)
        self._ascii_only = self._terminal.ascii_only
        self._monotonic = monotonic
        self._now = now
        self._views = Views(monotonic=monotonic)
        self._began = monotonic()
        self._written_at: float | None = None
        self._due: dict[str | None, Callable[[], str]] = {}
        self._connection = "connected"
        self._remarks: set[tuple[str, str]] = set()
        self._remarks_lost = 0
        self._waiting_for: str | None = None
        self._stages_seen: dict[str | None, int] = {}

    def take(self, numbered: Numbered) -> None:
        """Take one line, and write what may be written."""
        line = numbered.line
        view = self._views.update(line)
        if isinstance(line, ExportProgress):
            if view is not None and self._entered(view, line):
                self._announce(view, lambda: self._standing(view))
        elif view is None:
            self._take_jobless(numbered)
        else:
            self._take_of_job(numbered, view)
        if self._due:
            self._write_due()

    def say(self, text: str) -> None:
        """Write `text` now."""
        self._write(text)

    def standing(self) -> list[str]:
        """Return how far each job is, a line each."""
        return [self._standing(view) for view in self._views.by_id.values()]

    def tick(self) -> None:
        """Write what waited, or how it stands every 30 s."""
        self._write_due()
        now = self._monotonic()
        if should_write(now, self._began if self._written_at is None else self._written_at):
            self._write(self._how_it_stands())

    def close(self) -> None:
        """Say how many remarks were kept back. Ends were written as they came."""
        self._due.clear()
        if self._remarks_lost:
            self._write(f"and {self._remarks_lost} more remarks")

    def _entered(self, view: JobView, line: ExportProgress) -> bool:
        """Return whether a stage, or the downloading, is entered for the first time."""
        if isinstance(line, DownloadProgress):
            seen, key = 1, f"{view.job_id}/"
        else:
            seen, key = len(view.stages), view.job_id or ""
        if self._stages_seen.get(key, 0) >= seen:
            return False
        self._stages_seen[key] = seen
        return True

    def _take_jobless(self, numbered: Numbered) -> None:
        match numbered.line:
            case ConnectionChanged():
                self._take_connection(numbered.line)
            case Heartbeat(waiting_for=waiting_for):
                self._waiting_for = waiting_for
            case Log():
                self._take_remark(numbered.line, "")
            case _:
                pass

    def _take_of_job(self, numbered: Numbered, view: JobView) -> None:
        match numbered.line:
            case ConnectionChanged():
                self._take_connection(numbered.line)
            case Heartbeat(waiting_for=waiting_for):
                self._waiting_for = waiting_for
            case Log():
                self._take_remark(numbered.line, self._prefix(view))
            case ExportStarted():
                name = visible(view.project_name or "", ascii_only=self._ascii_only)
                self._announce(
                    view, lambda: f"{self._prefix(view)}started {name or 'the export'} (job {view.short_id})"
                )
            case ExportFailedLine() | ExportCancelled():
                self._end(view, [ending.bad_end(view, ascii_only=self._ascii_only)])
            case Result():
                self._take_result(numbered.line, view)
            case _:
                pass

    def _take_connection(self, line: ConnectionChanged) -> None:
        if line.state != self._connection:
            self._connection = line.state
            self._due[None] = lambda: ending.connection(line, ascii_only=self._ascii_only)

    def _take_remark(self, line: Log, prefix: str) -> None:
        if (line.code, line.message) in self._remarks:
            return
        if len(self._remarks) >= _REMARKS_SHOWN:
            self._remarks_lost += 1
            return
        self._remarks.add((line.code, line.message))
        level = "warning: " if line.level == "warning" else ""
        self._write(f"{prefix}{level}{ending.remark(line.message, ascii_only=self._ascii_only)}")

    def _take_result(self, result: Result, view: JobView) -> None:
        if result.outcome is Outcome.COMPLETED:
            self._end(view, ending.summary(result, ascii_only=self._ascii_only))
        elif not isinstance(view.end, ExportFailedLine | ExportCancelled):
            self._end(view, [ending.bad_end(view, ascii_only=self._ascii_only)])

    def _announce(self, view: JobView, text: Callable[[], str]) -> None:
        self._due[view.job_id] = text

    def _end(self, view: JobView, lines: list[str]) -> None:
        self._due.pop(view.job_id, None)
        self._write("\n".join(lines), prefix=self._prefix(view))

    def _write_due(self) -> None:
        if self._due and may_write(self._monotonic(), self._written_at):
            subject = next(iter(self._due))
            self._write(self._due.pop(subject)())

    def _write(self, text: str, *, prefix: str = "") -> None:
        self._written_at = self._monotonic()
        self._terminal.write(f"{self._now():%Y-%m-%d %H:%M:%S} {prefix}{text}\n")
        self._terminal.show()

    def _prefix(self, view: JobView) -> str:
        return f"{view.short_id} " if len(self._views.by_id) > 1 else ""

    def _standing(self, view: JobView) -> str:
        return self._prefix(view) + ending.standing(view, self._monotonic(), ascii_only=self._ascii_only)

    def _how_it_stands(self) -> str:
        running = [view for view in self._views.by_id.values() if view.result is None]
        if self._waiting_for is not None:
            waiting_for, self._waiting_for = self._waiting_for, None
            return f"waiting for {first_line(waiting_for, limit=_WAITING_COLUMNS, ascii_only=self._ascii_only)}"
        if not running:
            return "waiting"
        shown = " | ".join(self._standing(view) for view in running[:_JOBS_SHOWN])
        more = len(running) - _JOBS_SHOWN
        return f"{shown} | and {more} more" if more > 0 else shown
