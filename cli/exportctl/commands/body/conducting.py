"""A command from its first line to its last: `hello` is first and `result` last, whatever ends it.

What it shares while it runs is the `session`'s.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from exportctl import __version__
from exportctl.commands.body.edges import open_sinks, open_stream, pass_on, put, show
from exportctl.commands.body.loop import Loop
from exportctl.commands.body.memory import Memory
from exportctl.commands.body.refusing import refuse
from exportctl.commands.body.report import Report, signal_status
from exportctl.commands.body.secrecy import error_without
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings
from exportctl.commands.options import Shared
from exportctl.model.errors import ExportctlError
from exportctl.model.lines import Hello
from exportctl.store.parked import EMBEDDED, is_parked


def conduct(
    command: str,
    shared: Shared,
    settings: Callable[[], Settings],
    body: Callable[[Session, Settings], Awaitable[int]],
    *,
    has_progress: bool = True,
    memory: Memory | None = None,
) -> int:
    """Run a command from its first line to its last; return its exit status.

    `settings` may raise what is wrong with the configuration: `hello` is told all the same. `has_progress`: whether the
    command is one that goes on long enough for progress to be shown.
    """
    try:
        sinks = open_sinks(shared if has_progress else replace(shared, progress="none"))
    except ExportctlError as error:
        return refuse(command, error, shared)
    stream = open_stream(sinks)
    session = Session(
        command=command,
        shared=shared,
        stream=stream,
        correlation_id=stream.correlation_id,
        progress=sinks.progress,
        reports=[Report(monotonic=time.monotonic)],
        memory=memory or Memory(),
    )
    session.catch_signals()
    try:
        status = _conduct(session, settings, body)
    except BrokenPipeError:
        session.caught, status = signal.SIGPIPE, signal_status(signal.SIGPIPE)
    except ExportctlError as error:
        # Standard output or the events file takes no more: the end could not be told either.
        session.errors.append(error)
        status = error.exit_status
    session.memory.close()
    stream.close()
    for problem in session.errors:
        show(error_without(problem, session.secrets), quiet=shared.quiet)
    if session.printed and session.caught is not signal.SIGPIPE:
        try:
            put(session.printed)
        except BrokenPipeError:
            session.caught = session.caught or signal.SIGPIPE
            status = signal_status(session.caught)
        except ExportctlError as error:
            show(error, quiet=shared.quiet)
            status = status or error.exit_status
    pass_on(session.caught)
    return status


def _conduct(
    session: Session, settings: Callable[[], Settings], body: Callable[[Session, Settings], Awaitable[int]]
) -> int:
    try:
        found = settings()
    except ExportctlError as problem:
        session.tell(Hello(version=__version__, command=session.command, server=None))
        return session.fail(problem)
    server = EMBEDDED if found.server is None or is_parked(found.server) else found.server
    session.tell(Hello(version=__version__, command=session.command, server=server))
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(session.run(body(session, found)))
