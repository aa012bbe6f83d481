"""What every command shares while it runs: the stream of lines, the ticker, signals, `--timeout`, and the one end.

Whatever ends a command becomes its last line and its exit status. A signal decides before an outcome, the first signal
before later ones (`CLI.md`, Exit status).
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from exportctl.commands.body.edges import put_error
from exportctl.commands.body.memory import KEEP_SECONDS, Memory
from exportctl.commands.body.refusing import bug_of
from exportctl.commands.body.report import Report, details, printable, signal_status
from exportctl.commands.body.secrecy import line_without
from exportctl.commands.options import Shared
from exportctl.model.errors import ExportctlError, TimeRanOut
from exportctl.model.lines import ErrorDetails, Heartbeat, Line, Log, Outcome
from exportctl.output.choose import ProgressSink
from exportctl.output.masking import hidden
from exportctl.output.safe import first_line
from exportctl.output.stream import Stream

TICK_SECONDS: Final = 0.1
HEARTBEAT_SECONDS: Final = 30.0
MESSAGE_COLUMNS: Final = 500
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True, kw_only=True)
class Session:
    """One running command.

    `reports` are the jobs of the command, or one without a job. `on_signal` takes the first signal in place of the
    command's end while the body sets it. `waiting_for` is what a heartbeat says. `printed` is what goes to standard
    output for people, once the bars are gone. `outlives`: whether the job goes on when this command ends; `way_back`
    are the options that a command which comes back to it needs. `memory` is what this machine knows of jobs. `secrets`
    are what it signs in by, which is in no line and no message.
    """

    command: str
    shared: Shared
    stream: Stream
    correlation_id: str
    waiting_for: str = "the server"
    on_signal: Callable[[signal.Signals], None] | None = None
    caught: signal.Signals | None = None
    progress: ProgressSink | None
    reports: list[Report]
    outlives: bool = True
    memory: Memory = field(default_factory=Memory)
    way_back: str = ""
    printed: list[str] = field(default_factory=list)
    errors: list[ExportctlError] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    _main: "asyncio.Task[object] | None" = None

    @property
    def report(self) -> Report:
        """The report of the command's one job."""
        return self.reports[0]

    def tell(self, line: Line) -> None:
        """Tell a line to every sink; before it, once, what is wrong with the store."""
        if self.memory.warning is not None and self.stream.seq:
            message, self.memory.warning = self.memory.warning, None
            self.stream.tell(Log(level="warning", code="state", message=printable(message)))
        self.stream.tell(line_without(line, self.secrets) if self.secrets else line)

    def say(self, text: str) -> None:
        """Print a line to standard output at the end, unless NDJSON has it."""
        if not self.shared.ndjson:
            self.printed.append(text)

    def say_now(self, text: str) -> None:
        """Show a message at once: above the bars, or as a line on standard error."""
        safe = first_line(hidden(text, self.secrets), limit=MESSAGE_COLUMNS)
        if self.progress is not None:
            self.progress.say(safe)
        elif not self.shared.quiet:
            put_error(safe)

    def remark(self, line: Log) -> None:
        """Tell a remark, and show it where neither progress nor the lines do."""
        self.tell(line)
        if self.progress is None and not self.shared.ndjson:
            self.say_now(line.message[:1].upper() + line.message[1:])

    def leave(self) -> None:
        """End the command now, as a second signal does."""
        if self._main is not None:
            self._main.cancel()

    async def run(self, body: Awaitable[int]) -> int:
        """Run the body; return the exit status after the last line was told."""
        loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in numbers:
            loop.add_signal_handler(number, self._take_signal, number)
        loop.add_signal_handler(signal.SIGUSR1, self._show_standing)
        if self.caught is not None:
            self.leave()
        ticker = asyncio.create_task(self._tick())
        try:
            async with asyncio.timeout(self.shared.timeout):
                status = await body
                await asyncio.sleep(0)  # a signal that came before is heard here at the latest, not behind the end
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends in a line and a status
            status = self._end(_leaf(error))
        finally:
            ticker.cancel()
            self._ignore_signals(loop, [*numbers, signal.SIGUSR1])
        return self._told_status(status)

    def _told_status(self, status: int) -> int:
        """Return the status that the last lines have told, whatever went wrong behind them."""
        if self.caught is signal.SIGPIPE or not all(report.is_told for report in self.reports):
            return status
        return next((report.told for report in self.reports if report.told), 0)

    @staticmethod
    def _ignore_signals(loop: asyncio.AbstractEventLoop, numbers: list[signal.Signals]) -> None:
        """Let no signal change a status that was told. Blocked meanwhile: the loop would leave them to the system."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def catch_signals(self) -> None:
        """Note a signal that comes before the loop runs; what is ignored (nohup, a shell's background) stays so."""

        def note(number: int, _frame: object) -> None:
            self.caught = self.caught or signal.Signals(number)

        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, note)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # there is nothing to show yet

    def _take_signal(self, number: signal.Signals) -> None:
        if all(report.is_told for report in self.reports):
            return  # the end was told: no signal changes it any more
        is_first = self.caught is None
        if is_first:
            self.caught = number
        if is_first and self.on_signal is not None:
            self.on_signal(number)
        else:
            self.leave()

    def _show_standing(self) -> None:
        """Answer SIGUSR1, which asks for a line whatever else is shown."""
        if self.progress is not None:
            for line in self.progress.standing():
                self.progress.say(line)
            return
        standing = "; ".join(report.standing() for report in self.reports)
        put_error(first_line(standing, limit=MESSAGE_COLUMNS))

    async def _tick(self) -> None:
        kept_at = self.stream.monotonic()
        while True:
            await asyncio.sleep(KEEP_SECONDS if self.progress is None else TICK_SECONDS)  # nothing to draw: seldom
            self.stream.tick()
            if self.stream.monotonic() - kept_at >= KEEP_SECONDS:
                kept_at = self.stream.monotonic()
                for report in self.reports:
                    self.memory.keep(report)
            if self.stream.monotonic() - self.stream.told_at >= HEARTBEAT_SECONDS:
                self.tell(
                    Heartbeat(
                        job_id=self.report.job_id, project_id=self.report.project_id, waiting_for=self.waiting_for
                    )
                )

    def _end(self, error: BaseException) -> int:
        """Tell how the command ended that did not come to its own end; return the status."""
        if isinstance(error, BrokenPipeError):
            # Standard output is closed: there is nobody to tell, and the job goes on.
            self.caught = signal.SIGPIPE
            return signal_status(signal.SIGPIPE)
        if isinstance(error, asyncio.CancelledError) and self.caught is not None:
            return self._detach(self.caught)
        if isinstance(error, TimeoutError):
            words = f"--timeout {self.shared.timeout:g} ran out" if self.shared.timeout is not None else "time ran out"
            open_ones = [report for report in self.reports if not report.is_told]
            error = TimeRanOut(words, hint=self.resume_hint(next(iter(open_ones), None)))
            for report in open_ones[1:]:
                own = TimeRanOut(words, hint=self.resume_hint(report))
                self.conclude(report, Outcome.TIMEOUT, own.exit_status, details(own))
        if not isinstance(error, ExportctlError):
            error = bug_of(error)
        return self.fail(error)

    def _detach(self, number: signal.Signals) -> int:
        """Tell that the command left its jobs; say how to come back to them."""
        for report in [one for one in self.reports if not one.is_told]:
            if report.bad_end is not None:
                self.conclude(report, *report.bad_end)
                continue
            goes_on = report.job_id is not None and self.outlives
            if report.is_starting:
                way = (
                    "exportctl resume" if self.memory.is_kept() else f"exportctl list {report.project_id or ''}".strip()
                )
                self.say_now(f"Left while the export was being started; whether it was: {way}")
            elif goes_on:
                self.say_now(self._farewell(report))
            self.conclude(report, Outcome.DETACHED if goes_on else Outcome.CANCELLED, signal_status(number))
        return signal_status(number)

    def _farewell(self, report: Report) -> str:
        hint = self.resume_hint(report)
        if report.processed is not None:
            return f"Left. What was fetched is kept: {hint}"
        goes_on = "waits on this machine" if report.is_parked else "goes on"
        if report.is_cancelling:
            return f"Left. The cancellation was sent; if it takes no effect the job {goes_on}: {hint}"
        return f"Left. The job {goes_on}: {hint}"

    def conclude(self, report: Report, outcome: Outcome, status: int, error: ErrorDetails | None = None) -> int:
        """Tell the end of a job, or of the command where there is none; return its status, which a signal decides."""
        if report.told is not None:
            return report.told
        if self.caught is not None:
            status = signal_status(self.caught)
        self.memory.finish(report, outcome, status)
        self.tell(report.result(outcome, status, error))
        if all(one.is_told for one in self.reports):
            self.stream.end()
        return status

    def fail(self, error: ExportctlError, outcome: Outcome | None = None, *, report: Report | None = None) -> int:
        """Tell the bad end of the job, or of all that have none yet, or of the command; return its status."""
        if outcome is None:
            outcome = Outcome.TIMEOUT if isinstance(error, TimeRanOut) else Outcome.ERROR
        status = error.exit_status if self.caught is None else signal_status(self.caught)
        ends = [one for one in ([report] if report else self.reports) if not one.is_told]
        if ends or self.stream.seq == 0:
            self.errors.append(error)
        for one in ends:
            self.conclude(one, outcome, status, details(error))
        return status

    def resume_hint(self, report: Report | None = None) -> str | None:
        """Return the command that goes on with a job from here, None where nothing can."""
        report = report or self.report
        if report.job_id is None or not self.outlives:
            return None
        # As it was named, where the server has not said yet which project it is of.
        job = report.job_id if report.project_id is None else f"{report.project_id}/{report.job_id}"
        if report.processed is None and report.is_parked and report.known is not None and report.known.is_wanted:
            return "exportctl resume"
        if report.processed is None:
            return f"exportctl follow {job}{self.way_back}"
        return f"exportctl download {job}{report.places()}{self.way_back}"


def _leaf(error: BaseException) -> BaseException:
    """Return the first error within groups: what set the others off."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
