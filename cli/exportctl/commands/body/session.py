"""What every command shares while it runs: the stream of lines, the ticker, signals, `--timeout`, and the one end.

`conduct` runs a command's body and turns whatever ends it into its last line and exit status. `hello` is first and
`result` last for every end. A signal decides before an outcome, the first signal before later ones (`CLI.md`, Exit
status).
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from exportctl import __version__
from exportctl.commands.body.report import Report, details, signal_status
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Shared
from exportctl.model.errors import Bug, ExportctlError, TimeRanOut
from exportctl.model.lines import Heartbeat, Hello, Line, Outcome, Result
from exportctl.output.choose import ProgressSink, Sinks, choose_progress, make_sinks
from exportctl.output.failure import failure
from exportctl.output.safe import first_line
from exportctl.output.stream import Stream

TICK_SECONDS: Final = 0.1
HEARTBEAT_SECONDS: Final = 30.0
MESSAGE_COLUMNS: Final = 500
EMBEDDED: Final = "embedded"
"""What `hello` says for a server that has no address yet."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True, kw_only=True)
class Session:
    """One running command.

    `reports` are the jobs of the command, or one without a job. `on_signal` takes the first signal in place of the
    command's end while the body sets it. `waiting_for` is what a heartbeat says. `printed` is what goes to standard
    output for people, once the bars are gone. `outlives`: whether the job goes on when this command ends.
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
    printed: list[str] = field(default_factory=list)
    errors: list[ExportctlError] = field(default_factory=list)
    _main: "asyncio.Task[object] | None" = None
    _aborted: ExportctlError | None = None

    @property
    def report(self) -> Report:
        """The report of the command's one job."""
        return self.reports[0]

    def tell(self, line: Line) -> None:
        """Tell a line to every sink."""
        self.stream.tell(line)

    def say(self, text: str) -> None:
        """Print a line to standard output at the end, unless NDJSON has it."""
        if not self.shared.ndjson:
            self.printed.append(text)

    def say_now(self, text: str) -> None:
        """Show a message at once: above the bars, or as a line on standard error."""
        safe = first_line(text, limit=MESSAGE_COLUMNS)
        if self.progress is not None:
            self.progress.say(safe)
        elif not self.shared.quiet:
            with contextlib.suppress(OSError):
                os.write(2, f"{safe}\n".encode("utf-8", "replace"))

    def abort(self, error: ExportctlError) -> None:
        """End the command with `error`, from outside its body."""
        if self._main is not None and self._aborted is None:
            self._aborted = error
            self._main.cancel()

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
                return await body
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends in a line and a status
            return self._end(_leaf(error))
        finally:
            ticker.cancel()
            for number in (*numbers, signal.SIGUSR1):
                loop.remove_signal_handler(number)

    def catch_signals(self) -> None:
        """Note a signal that comes before the loop runs; what is ignored (nohup, a shell's background) stays so."""

        def note(number: int, _frame: object) -> None:
            self.caught = self.caught or signal.Signals(number)

        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, note)

    def _take_signal(self, number: signal.Signals) -> None:
        is_first = self.caught is None
        if is_first:
            self.caught = number
        if is_first and self.on_signal is not None:
            self.on_signal(number)
        else:
            self.leave()

    def _show_standing(self) -> None:
        if self.progress is not None:
            for line in self.progress.standing():
                self.progress.say(line)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.stream.tick()
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
        if isinstance(error, asyncio.CancelledError) and self._aborted is not None:
            error = self._aborted
        if isinstance(error, asyncio.CancelledError) and self.caught is not None:
            return self._detach(self.caught)
        if isinstance(error, TimeoutError):
            error = TimeRanOut(
                f"--timeout {self.shared.timeout:g} ran out" if self.shared.timeout else "time ran out",
                hint=self.resume_hint(),
            )
        if not isinstance(error, ExportctlError):
            if os.environ.get("EXPORTCTL_DEBUG"):
                traceback.print_exception(error)
            error = Bug(
                f"unexpected {type(error).__name__}: {error}",
                hint="please report it with the command and, from EXPORTCTL_DEBUG=1, the traceback",
            )
        return self.fail(error)

    def _detach(self, number: signal.Signals) -> int:
        """Tell that the command left its jobs; say how to come back to them."""
        status = signal_status(number)
        for report in self.reports:
            if report.is_told:
                continue
            goes_on = report.job_id is not None and self.outlives
            hint = self.resume_hint(report)
            if goes_on and hint is not None:
                self.say_now(f"Left. The job goes on: {hint}")
            self.tell(report.result(Outcome.DETACHED if goes_on else Outcome.CANCELLED, status))
        return status

    def fail(self, error: ExportctlError, outcome: Outcome | None = None, *, report: Report | None = None) -> int:
        """Tell the bad end of the job, or of all that have none yet, or of the command; return its status."""
        if outcome is None:
            outcome = Outcome.TIMEOUT if isinstance(error, TimeRanOut) else Outcome.ERROR
        status = error.exit_status if self.caught is None else signal_status(self.caught)
        self.errors.append(error)
        for one in self.reports if report is None else [report]:
            if not one.is_told:
                self.tell(one.result(outcome, status, details(error)))
        return status

    def resume_hint(self, report: Report | None = None) -> str | None:
        """Return the command that goes on with a job from here, None where nothing can."""
        report = report or self.report
        if report.job_id is None or report.project_id is None or not self.outlives:
            return None
        verb = "follow" if report.processed is None else "download"
        return f"exportctl {verb} {report.project_id}/{report.job_id}"


def conduct(
    command: str,
    shared: Shared,
    settings: Callable[[], Settings],
    body: Callable[[Session, Settings], Awaitable[int]],
    *,
    has_progress: bool = True,
) -> int:
    """Run a command from its first line to its last; return its exit status.

    `settings` may raise what is wrong with the configuration: `hello` is told all the same. `has_progress`: whether the
    command is one that goes on long enough for progress to be shown.
    """
    try:
        sinks = _sinks(shared if has_progress else replace(shared, progress="none"))
    except ExportctlError as error:
        return refuse(command, error, ndjson=shared.ndjson)
    stream = _stream(sinks)
    session = Session(
        command=command,
        shared=shared,
        stream=stream,
        correlation_id=stream.correlation_id,
        progress=sinks.progress,
        reports=[Report(monotonic=time.monotonic)],
    )
    session.catch_signals()
    try:
        status = _conduct(session, settings, body)
    except BrokenPipeError:
        session.caught, status = signal.SIGPIPE, signal_status(signal.SIGPIPE)
    except (
        ExportctlError
    ) as error:  # standard output or the events file takes no more: the end could not be told either
        session.errors.append(error)
        status = error.exit_status
    stream.close()
    for problem in session.errors:
        _show(problem)
    if session.printed and session.caught is not signal.SIGPIPE:
        status = _print(session, status)
    _pass_on(session.caught)
    return status


def _conduct(
    session: Session, settings: Callable[[], Settings], body: Callable[[Session, Settings], Awaitable[int]]
) -> int:
    try:
        found = settings()
    except ExportctlError as problem:
        session.tell(Hello(version=__version__, command=session.command, server=None))
        return session.fail(problem)
    session.tell(Hello(version=__version__, command=session.command, server=found.server or EMBEDDED))
    return asyncio.run(session.run(body(session, found)))


def refuse(command: str | None, error: ExportctlError, *, ndjson: bool) -> int:
    """Tell a command that could not even begin: its `hello` and `result` where NDJSON was asked for, and the words."""
    if ndjson:
        stream = _stream(_sinks(Shared(ndjson=True, progress="none")))
        stream.tell(Hello(version=__version__, command=command, server=None))
        stream.tell(Result(outcome=Outcome.ERROR, exit_code=error.exit_status, error=details(error)))
        stream.close()
    _show(error)
    return error.exit_status


def _sinks(shared: Shared) -> Sinks:
    stderr = sys.stderr
    is_terminal = stderr is not None and stderr.isatty()
    shown = choose_progress(shared.progress, is_terminal=is_terminal, term=os.environ.get("TERM"), quiet=shared.quiet)
    return make_sinks(
        shown=shown,
        ndjson=shared.ndjson,
        events=shared.events,
        stderr=stderr,
        monotonic=time.monotonic,
        local_now=lambda: datetime.now(UTC).astimezone(),
    )


def _stream(sinks: Sinks) -> Stream:
    return Stream(
        sinks=sinks.all, correlation_id=str(uuid.uuid4()), monotonic=time.monotonic, now=lambda: datetime.now(UTC)
    )


def _show(error: ExportctlError) -> None:
    """Put the words to standard error, where there is one."""
    with contextlib.suppress(OSError):
        os.write(2, failure(error).encode("utf-8", "replace"))


def _print(session: Session, status: int) -> int:
    try:
        text = "".join(line + "\n" for line in session.printed)
        rest = memoryview(text.encode("utf-8", "surrogateescape"))
        while rest:
            rest = rest[os.write(1, rest) :]
    except BrokenPipeError:
        session.caught = session.caught or signal.SIGPIPE
        return signal_status(session.caught)
    return status


def _pass_on(number: signal.Signals | None) -> None:
    """End by the signal itself, so that shells and loops stop as they should."""
    if number is None:
        return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _leaf(error: BaseException) -> BaseException:
    """Return the first error within groups: what set the others off."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
