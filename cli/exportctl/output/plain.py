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
    Line,
    Log,
    Numbered,
    Outcome,
    Result,
)
from exportctl.model.words import counted, marked, said
from exportctl.output import ending
from exportctl.output.colour import RED, painted
from exportctl.output.pace import may_write, should_write
from exportctl.output.remarks import Remarks
from exportctl.output.safe import first_line, isolated, visible
from exportctl.output.terminal import Terminal
from exportctl.output.views import JobView, Views

_JOBS_SHOWN = 5
_WAITED_FOR = (
    marked("the server"),
    marked("the archive"),
    marked("another command"),
    marked("a free place"),
    marked("the sign-in"),
)
"""What commands wait for (`Session.waiting_for`), for the catalogs."""
_WAITING_COLUMNS = 120


class PlainSink:
    """Writes a few lines, each with its time. `now` gives a local time, `monotonic` seconds."""

    def __init__(
        self, stream: TextIO, monotonic: Callable[[], float], now: Callable[[], datetime], *, colour: bool = False
    ) -> None:
        self._colour = colour
        self._terminal = Terminal(stream)
        self._ascii_only = self._terminal.ascii_only
        self._monotonic = monotonic
        self._now = now
        self._views = Views(monotonic=monotonic)
        self._began = monotonic()
        self._written_at: float | None = None
        self._due: dict[str | None, Callable[[], str]] = {}
        self._connection = "connected"
        self._remarks = Remarks(colour=colour)
        self._waiting_for: str | None = None
        self._stages_seen: dict[str | None, int] = {}

    def take(self, *numbered: Numbered) -> None:
        """Take lines, and write what may be written."""
        for one in numbered:
            self._take_line(one.line)

    def _take_line(self, line: Line) -> None:
        view = self._views.update(line)
        if isinstance(line, ExportProgress):
            self._waiting_for = None
            if view is not None and self._entered(view, line):
                self._due[view.job_id] = lambda: self._standing(view)
        else:
            self._take_rare(line, view)
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
        if self._remarks.lost:
            self._write(counted("and {count} more remark", "and {count} more remarks", self._remarks.lost))

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

    def _take_rare(self, line: Line, view: JobView | None) -> None:
        match line:
            case ConnectionChanged():
                self._take_connection(line)
            case Heartbeat(waiting_for=waiting_for):
                self._waiting_for = waiting_for
            case Log():
                words = self._remarks.words(line, ascii_only=self._ascii_only)
                if words is not None:
                    self._write(words, view)
            case _ if view is not None:
                self._take_step(line, view)
            case _:
                pass

    def _take_step(self, line: Line, view: JobView) -> None:
        match line:
            case ExportStarted():
                name = isolated(visible(view.project_name or said("the export"), ascii_only=self._ascii_only))
                begun = said("started {name} (job {job})", name=name, job=view.short_id)
                self._due[view.job_id] = lambda: f"{self._name(view)}{begun}"
            case ExportFailedLine() | ExportCancelled():
                self._end(view, [painted(ending.bad_end(view, ascii_only=self._ascii_only), RED, on=self._colour)])
            case Result():
                self._take_result(line, view)
            case _:
                pass

    def _take_connection(self, line: ConnectionChanged) -> None:
        if line.state != self._connection:
            self._connection = line.state
            self._due[None] = lambda: ending.connection(line, ascii_only=self._ascii_only)

    def _take_result(self, result: Result, view: JobView) -> None:
        if result.outcome is Outcome.COMPLETED:
            self._end(view, ending.summary(result, ascii_only=self._ascii_only, colour=self._colour))
        elif not isinstance(view.end, ExportFailedLine | ExportCancelled):
            self._end(view, [painted(ending.bad_end(view, ascii_only=self._ascii_only), RED, on=self._colour)])

    def _end(self, view: JobView, lines: list[str]) -> None:
        self._due.pop(view.job_id, None)
        self._write("\n".join(lines), view)

    def _write_due(self) -> None:
        if self._due and may_write(self._monotonic(), self._written_at):
            subject = next(iter(self._due))
            self._write(self._due.pop(subject)())

    def _write(self, text: str, view: JobView | None = None) -> None:
        self._written_at = self._monotonic()
        name = "" if view is None else self._name(view)
        self._terminal.write(f"{self._now():%Y-%m-%d %H:%M:%S} {name}{text}\n")
        self._terminal.show()

    def _name(self, view: JobView) -> str:
        return f"{view.short_id} " if len(self._views.by_id) > 1 else ""

    def _standing(self, view: JobView) -> str:
        return self._name(view) + ending.standing(view, self._monotonic(), ascii_only=self._ascii_only)

    def _how_it_stands(self) -> str:
        running = [view for view in self._views.by_id.values() if view.result is None]
        if self._waiting_for is not None:
            waiting_for, self._waiting_for = self._waiting_for, None
            what = first_line(waiting_for, limit=_WAITING_COLUMNS, ascii_only=self._ascii_only)
            return said("waiting for {what}", what=said(what))
        if not running:
            return said("waiting")
        shown = " | ".join(self._standing(view) for view in running[:_JOBS_SHOWN])
        more = len(running) - _JOBS_SHOWN
        return shown if more <= 0 else f"{shown} | " + counted("and {count} more", "and {count} more", more)
