"""Two bars per job on standard error, drawn by tqdm: what was made, what was fetched.

Lines update views; `tick` draws what is due, `close` the last state. Every drawing is one write. Between two drawings
the cursor waits at the start of the first bar, so that after a resize everything from there down is ours and can be
drawn anew (a terminal that wraps its old rows keeps the cursor with its character). Messages are printed above the
bars, once.

The module imports tqdm (some 40 ms): import it where bars are drawn.
"""

import threading
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Never, TextIO, TypeAlias

import tqdm as tqdm_package

from exportctl.model.lines import ConnectionChanged, ExportCancelled, ExportFailedLine, Line, Log, Numbered
from exportctl.model.words import counted
from exportctl.output import ending, rows
from exportctl.output.colour import RED, painted
from exportctl.output.layout import Frame, fit
from exportctl.output.pace import should_draw
from exportctl.output.remarks import Remarks
from exportctl.output.terminal import USUAL_SIZE, Terminal
from exportctl.output.views import JobView, Views

if TYPE_CHECKING:
    Tqdm: TypeAlias = tqdm_package.tqdm[Never]
else:
    Tqdm = tqdm_package.tqdm

_ERASE_BELOW = "\r\x1b[J"
_BARS_PER_JOB = 2
_MESSAGES_KEPT = 100
_WHOLE = 100.0


class Bar(Tqdm):
    """One bar that asks for its frame when tqdm draws it, with the width that tqdm has just asked the terminal for.

    Extra fields by way of `format_dict` are tqdm's documented extension.
    """

    def __init__(self, row: Callable[[], tuple[rows.Row, str]], terminal: Terminal, position: int) -> None:
        self._row = row
        self._terminal = terminal
        size = terminal.size()
        super().__init__(
            total=_WHOLE,
            bar_format="{head}{bar:{cells}}{tail}",
            position=position,
            file=terminal,
            leave=True,
            dynamic_ncols=size is not None,
            ncols=None if size else USUAL_SIZE[0] - 1,
            nrows=None if size else USUAL_SIZE[1] - 1,
            ascii=" #" if terminal.ascii_only else False,
            # Named so that no TQDM_* variable of the environment changes them.
            disable=False,
            delay=0,
            mininterval=0,
            miniters=1,
            colour=None,
            initial=0,
            write_bytes=False,
        )

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """The fields of the drawing: tqdm's, and the frame for the width of this moment."""
        fields = super().format_dict
        row, name = self._row()
        columns = fields["ncols"] or USUAL_SIZE[0] - 1  # None once the terminal went away
        frame: Frame = fit(row, columns, name=name, ascii_only=self._terminal.ascii_only)
        # Rounded: tqdm divides by it, and the least of numbers would overflow.
        fields.update(n=round(row.percent or 0.0, 3), head=frame.head, cells=frame.cells, tail=frame.tail)
        return fields


class BarsSink:
    """Two bars for each job that runs, from the first moment on."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float], *, colour: bool = False) -> None:
        self._colour = colour
        Tqdm.monitor_interval = 0  # no thread: the ticker draws
        Tqdm.set_lock(threading.RLock())  # tqdm's own would make a semaphore for processes that do not exist here
        self._terminal = Terminal(stream)
        self._monotonic = monotonic
        self._views = Views(monotonic=monotonic)
        self._unknown = JobView(job_id=None)
        self._bars: list[Bar] = []
        self._drawn_for: object = None
        self._drawn_at: float | None = None
        self._has_changed = False
        self._has_ends = False
        self._is_named = False
        self._rest = 0
        self._messages: list[str] = []
        self._messages_lost = 0
        self._connection = "connected"
        self._remarks = Remarks(colour=colour)

    def take(self, *numbered: Numbered) -> None:
        """Take lines into what the next drawing shows."""
        for one in numbered:
            self._take_line(one.line)

    def _take_line(self, line: Line) -> None:
        view = self._views.update(line)
        self._has_changed = True
        if len(self._views.by_id) > 1:
            self._is_named = True
        if line.event in _SAID:
            self._take_message(line, view)
        elif line.event == "result":
            self._has_ends = True

    def say(self, text: str) -> None:
        """Print `text` above the bars with the next drawing."""
        if len(self._messages) < _MESSAGES_KEPT:
            self._messages.append(text)
        else:
            self._messages_lost += 1
        self._has_changed = True

    def standing(self) -> list[str]:
        """Return how far each job is, a line each."""
        return standing(self._views, self._monotonic(), ascii_only=self._terminal.ascii_only)

    def tick(self) -> None:
        """Draw, if it is time."""
        now = self._monotonic()
        if not should_draw(now, self._drawn_at, has_changed=self._has_changed):
            return
        self._drawn_at = now
        self._has_changed = False
        try:
            self._draw()
        except BaseException:
            # Half a drawing would leave the cursor anywhere: none of it is shown, and the next one begins anew.
            self._terminal.discard()
            self._terminal.mute(on=False)
            self._drawn_for = None
            raise
        self._terminal.show()

    def close(self) -> None:
        """Draw every job's last state, below it what it left, and give the bars up."""
        self._erase()
        self._messages_lost += self._remarks.lost
        self._print_messages()
        for view in self._views.by_id.values():
            self._leave(view)
        self._views.by_id.clear()
        self._terminal.show()

    def _take_message(self, line: Line, view: JobView | None) -> None:
        ascii_only = self._terminal.ascii_only
        match line:
            case ConnectionChanged(state=state) if state != self._connection:
                self._connection = state
                self.say(ending.connection(line, ascii_only=ascii_only))
            case Log():
                words = self._remarks.words(line, ascii_only=ascii_only)
                if words is not None:
                    self.say(words if view is None else self._named(view, words))
            case ExportFailedLine() | ExportCancelled() if view is not None:
                words = painted(ending.bad_end(view, ascii_only=ascii_only), RED, on=self._colour)
                self.say(self._named(view, words))
            case _:
                pass

    def _draw(self) -> None:
        if self._has_ends:
            self._let_go_of_ended()
        size = self._terminal.size()
        shown = self._shown(size)
        drawn_for = (size, tuple(view.job_id for view in shown), self._is_named, self._rest > 0)
        if drawn_for != self._drawn_for:
            self._erase()
            self._print_messages()
            self._bars = [self._bar(view, half, index) for index, (view, half) in enumerate(_halves(shown))]
            if self._rest:
                self._bars.append(Bar(lambda: (rows.more(self._rest), ""), self._terminal, len(self._bars)))
            self._drawn_for = drawn_for
        else:
            self._print_messages()
            for bar in self._bars:
                bar.refresh()
        self._terminal.write("\r")

    def _shown(self, size: tuple[int, int] | None) -> list[JobView]:
        """Return the jobs that have room, two rows each and the last row of the window left free, as tqdm wants it.

        Where not all have, one more row counts the rest; those that run are shown before those that wait.
        """
        _, lines = size or USUAL_SIZE
        views = list(self._views.by_id.values()) or [self._unknown]
        room = max((lines - 2) // _BARS_PER_JOB, 1)
        if len(views) > room:
            room = max((lines - 3) // _BARS_PER_JOB, 1)
            views.sort(key=lambda view: view.result is not None or not view.is_running)
        self._rest = max(len(views) - room, 0)
        return views[:room]

    def _bar(self, view: JobView, half: Callable[[JobView, float], rows.Row], position: int) -> Bar:
        return Bar(lambda: (half(view, self._monotonic()), self._name(view)), self._terminal, position)

    def _name(self, view: JobView) -> str:
        return view.short_id if self._is_named else ""

    def _named(self, view: JobView, text: str) -> str:
        name = self._name(view)
        return f"{name} {text}" if name else text

    def _let_go_of_ended(self) -> None:
        """Leave ended jobs' last state above the bars of those that run; the last ones' bars stay until `close`."""
        self._has_ends = False
        ended = [view for view in self._views.by_id.values() if view.result is not None]
        if len(self._views.by_id) == len(ended):
            return
        self._erase()
        for view in ended:
            self._leave(view)
        for view in ended:
            del self._views.by_id[view.job_id or ""]

    def _leave(self, view: JobView) -> None:
        for _, half in _halves([view]):
            self._bar(view, half, 0).close()
        if view.result is not None:
            for text in ending.summary(view.result, ascii_only=self._terminal.ascii_only, colour=self._colour):
                self._terminal.write(f"{text}\n")

    def _print_messages(self) -> None:
        if self._messages_lost:
            self._messages.append(counted("and {count} more message", "and {count} more messages", self._messages_lost))
        for text in self._messages:
            Tqdm.write(text, file=self._terminal)
        self._messages.clear()
        self._messages_lost = 0

    def _erase(self) -> None:
        """Give up the bars drawn so far: everything from the cursor down is theirs."""
        if not self._bars:
            return
        self._terminal.mute(on=True)
        for bar in self._bars:
            bar.close()
        self._terminal.mute(on=False)
        self._bars = []
        self._drawn_for = None
        self._terminal.write(_ERASE_BELOW)


def standing(views: Views, now: float, *, ascii_only: bool) -> list[str]:
    """Return how far each job is, a line each, named where there are several."""
    several = len(views.by_id) > 1
    return [
        (f"{view.short_id} " if several else "") + ending.standing(view, now, ascii_only=ascii_only)
        for view in views.by_id.values()
    ]


_SAID = frozenset({ConnectionChanged.event, Log.event, ExportFailedLine.event, ExportCancelled.event})


def _halves(views: list[JobView]) -> list[tuple[JobView, Callable[[JobView, float], rows.Row]]]:
    return [(view, half) for view in views for half in (rows.processing, rows.downloading)]
