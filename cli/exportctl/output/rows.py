"""What a job's two bars say, as data: one `Row` for processing, one for downloading. Pure; `now` is monotonic seconds.

A row never claims more than is known: a share is shown only where one was told, 100 only when the phase is over, and a
job that ended badly keeps the share it had.
"""

from dataclasses import dataclass

from exportctl.model.lines import DownloadProgress, ExportCancelled, ExportCompleted, ExportFailedLine, Outcome, Result
from exportctl.model.words import counted, marked, of_template, said
from exportctl.output import amounts
from exportctl.output.views import JobView

WAITING = marked("waiting")
NO_ETA = marked("estimating")
_OVERDUE = 5.0
"""Seconds behind the end that was foreseen, and as long again as it was to take."""
_WORDS = {
    Outcome.OK: marked("ended"),
    Outcome.COMPLETED: marked("done"),
    Outcome.FAILED: marked("failed"),
    Outcome.CANCELLED: marked("cancelled"),
    Outcome.DETACHED: marked("detached"),
    Outcome.TIMEOUT: marked("timed out"),
    Outcome.ERROR: marked("stopped"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One piece of a row. The lowest `rank` is kept longest; `least` is the columns to which it may be shortened.

    The end of a file's name tells it from its neighbours, so it is cut in its middle; all else is cut at its end.
    """

    text: str
    rank: int
    least: int | None = None
    is_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bar's content. `percent` 0 to 100, None where no share is known; a row without a bar only says `words`."""

    label: str
    percent: float | None
    has_bar: bool
    words: tuple[Words, ...]


def processing(view: JobView, now: float) -> Row:
    """Return what the processing bar says."""
    label = said("Processing")
    if view.is_processed:
        took = view.end.processing_time if isinstance(view.end, ExportCompleted) else None
        done = said("done") if took is None else said("done in {time}", time=amounts.duration(took))
        return Row(label=label, percent=100.0, has_bar=True, words=(Words(text=done, rank=0),))
    over = how_it_ended(view)
    if view.processed is None and view.stage is None:
        return Row(label=label, percent=None, has_bar=False, words=(Words(text=over or said(WAITING), rank=0),))
    words: list[Words] = []
    if over:
        words.append(Words(text=over, rank=0))
    if view.stage is not None:
        words.append(Words(text=stage(view) or view.stage, rank=3, least=6))
    if view.counts is not None:
        words.append(Words(text=f"{view.counts.current}/{view.counts.total}", rank=1))
    if not over:
        words.append(_left(view.processing_left, now - view.processing_told_at))
        if view.counts is not None and view.counts.item:
            words.append(Words(text=view.counts.item, rank=4, least=8, is_file=True))
    return Row(label=label, percent=_unfinished(view.processed), has_bar=True, words=tuple(words))


def downloading(view: JobView, now: float) -> Row:
    """Return what the downloading bar says."""
    label = said("Downloading")
    result, over = view.result, how_it_ended(view)
    if result is not None and result.outcome is Outcome.COMPLETED:
        return _downloaded(label, result)
    latest = view.download
    if latest is None:
        word = said(WAITING) if not over else said("not started")
        return Row(label=label, percent=None, has_bar=False, words=(Words(text=word, rank=0),))
    words = [Words(text=over, rank=0)] if over else []
    words.append(Words(text=fetched(latest), rank=1))
    if not over:
        if latest.bytes_per_second is not None:
            words.append(Words(text=amounts.rate(latest.bytes_per_second), rank=3))
        words.append(_left(latest.estimated_time_remaining, now - view.download_told_at))
        if view.ready is not None and view.ready.file_name:
            words.append(Words(text=view.ready.file_name, rank=4, least=12, is_file=True))
    # All bytes can be here before they are verified and the file is in its place: whole only with the result.
    return Row(label=label, percent=_unfinished(view.downloaded), has_bar=True, words=tuple(words))


def stage(view: JobView) -> str | None:
    """Return what the stage does, in the reader's language, else in the server's words where it gave a template."""
    line = view.told
    if line is None or line.template is None:
        return None
    return of_template(line.template, line.data) or line.message


def more(count: int) -> Row:
    """Return the row that stands for the jobs without room."""
    words = counted("and {count} more job", "and {count} more jobs", count)
    return Row(label="", percent=None, has_bar=False, words=(Words(text=words, rank=0),))


def fetched(line: DownloadProgress) -> str:
    """Return the bytes on disk, of how many where that is known."""
    return amounts.size(line.bytes) if line.total_bytes is None else amounts.size_of(line.bytes, line.total_bytes)


def how_it_ended(view: JobView) -> str:
    """Return one word for a job that ended otherwise than well, nothing for one that runs or is done."""
    if isinstance(view.end, ExportFailedLine):
        return said(_WORDS[Outcome.FAILED])
    if isinstance(view.end, ExportCancelled):
        return said(_WORDS[Outcome.CANCELLED])
    if view.result is None or view.result.outcome is Outcome.COMPLETED:
        return ""
    return said(_WORDS[view.result.outcome])


def seconds_left(told: float | None, age: float) -> float | None:
    """Return a told remaining time counted down by its age; None where it is overdue, so that nobody knows any more."""
    if told is None or age - told > max(_OVERDUE, told):
        return None
    return max(told - age, 0.0)


def _left(told: float | None, age: float) -> Words:
    left = seconds_left(told, age)
    return Words(text=said(NO_ETA) if left is None else said("ETA {time}", time=amounts.clock(left)), rank=2)


def _unfinished(percent: float | None) -> float | None:
    """Return a share of a phase that is not over: 99 at most where the server says 100 before its end."""
    return None if percent is None else min(max(percent, 0.0), 99.0)


def _downloaded(label: str, result: Result) -> Row:
    if result.bytes is None:
        return Row(label=label, percent=None, has_bar=False, words=(Words(text=said("not fetched"), rank=0),))
    words = [Words(text=amounts.size(result.bytes), rank=1)]
    words.append(Words(text=said("verified") if result.verified else said("done"), rank=0))
    if result.seconds.downloading:
        words.append(Words(text=said("in {time}", time=amounts.duration(result.seconds.downloading)), rank=2))
    return Row(label=label, percent=100.0, has_bar=True, words=tuple(words))
