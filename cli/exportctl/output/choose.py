"""Which sinks a command has: where its lines go, and how its progress is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TextIO, TypeAlias

from exportctl.output.ndjson import STANDARD_OUTPUT, NdjsonSink, open_events
from exportctl.output.stream import Sink

ProgressMode: TypeAlias = Literal["auto", "bars", "plain", "none"]
Shown: TypeAlias = Literal["bars", "plain", "none"]


class ProgressSink(Sink, Protocol):
    """A sink that a person reads, on standard error."""

    def say(self, text: str) -> None:
        """Show a message of the command's own, safe already: above the bars, or as a line."""

    def standing(self) -> list[str]:
        """Return how far each job is, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """The sinks of a command: `all`, in the order in which they are told, and the one for people, if any."""

    all: tuple[Sink, ...]
    progress: ProgressSink | None


def choose_progress(mode: ProgressMode, *, is_terminal: bool, term: str | None, quiet: bool) -> Shown:
    """Return how progress is shown; what was asked for by name is obeyed, `--quiet` before all else."""
    if quiet:
        return "none"
    if mode != "auto":
        return mode
    # A terminal without a name or called dumb (Emacs' shell) cannot move its cursor.
    return "bars" if is_terminal and term not in {None, "", "dumb"} else "plain"


def make_sinks(
    *,
    shown: Shown,
    ndjson: bool,
    events: str | None,
    stderr: TextIO | None,
    monotonic: Callable[[], float],
    local_now: Callable[[], datetime],
    colour: bool = False,
) -> Sinks:
    """Return the sinks. Raises Usage or CannotWrite for an events file that cannot be had; nothing is left open then.

    The events file is told first and people last, so that a closed standard output keeps no line from the file.
    `stderr` is None where the command was started without one.
    """
    machines: list[Sink] = []
    if events is not None:
        machines.append(open_events(events))
    if ndjson:
        machines.append(NdjsonSink(STANDARD_OUTPUT))
    progress = None if stderr is None else _progress(shown, stderr, monotonic, local_now, colour=colour)
    return Sinks(all=(*machines, *([] if progress is None else [progress])), progress=progress)


def _progress(
    shown: Shown, stderr: TextIO, monotonic: Callable[[], float], local_now: Callable[[], datetime], *, colour: bool
) -> ProgressSink | None:
    match shown:
        case "bars":
            from exportctl.output.bars import BarsSink  # noqa: PLC0415 - tqdm costs 40 ms, and only bars need it

            return BarsSink(stderr, monotonic, colour=colour)
        case "plain":
            from exportctl.output.plain import PlainSink  # noqa: PLC0415 - as above, the little that it costs

            return PlainSink(stderr, monotonic, local_now, colour=colour)
        case "none":
            return None
