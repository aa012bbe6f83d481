"""What the progress sinks say in words: how a job stands, how it ended, and what else a person should hear of.

Text of the server is made safe here, once. Errors that end the command are not said here but by `failure`, from
`main()`.
"""

from exportctl.model.lines import (
    ConnectionChanged,
    ConnectionState,
    ExportCancelled,
    ExportFailedLine,
    Outcome,
    Result,
)
from exportctl.model.words import counted, marked, said, spoken
from exportctl.output import amounts, rows
from exportctl.output.colour import GREEN, painted
from exportctl.output.safe import first_line, isolated, visible
from exportctl.output.views import JobView

WARNINGS_SHOWN = 10
_CLEANED = marked("the server says that it has cleaned up")
_NOT_CLEANED = marked("the server has not cleaned up")
_MESSAGE_COLUMNS = 300
_REASON_COLUMNS = 120
_STATES: dict[ConnectionState, str] = {
    "connected": marked("connected"),
    "reconnecting": marked("connection lost, reconnecting"),
    "polling": marked("no socket connection, asking by polling"),
    "closed": marked("connection closed"),
}


def summary(result: Result, *, ascii_only: bool = False, colour: bool = False) -> list[str]:
    """Return what a good run left, a line each: the file, and the server's warnings; nothing for any other end."""
    if result.outcome is not Outcome.COMPLETED:
        return []
    details = []
    if result.bytes is not None:
        details.append(amounts.size(result.bytes))
    if result.verified:
        details.append(said("verified"))
    what = said("Completed")
    if result.file is not None:
        what = said("Saved {file}", file=isolated(visible(result.file, ascii_only=ascii_only)))
    elif result.bytes is not None:
        what = said("Sent the archive")
    if details:
        what += f" ({', '.join(details)})"
    if result.seconds.total is not None:
        what += " " + said("in {time}", time=amounts.duration(result.seconds.total))
    what = painted(what, GREEN, on=colour)
    if not result.warnings:
        return [what]
    warnings = counted("{count} warning", "{count} warnings", len(result.warnings))
    return [
        f"{what}, {warnings}:",
        *_bounded(result.warnings, ascii_only=ascii_only),
    ]


def _bounded(warnings: tuple[str, ...], *, ascii_only: bool) -> list[str]:
    shown = [f"  {remark(text, ascii_only=ascii_only)}" for text in warnings[:WARNINGS_SHOWN]]
    if len(warnings) > WARNINGS_SHOWN:
        shown.append("  " + counted("and {count} more", "and {count} more", len(warnings) - WARNINGS_SHOWN))
    return shown


def remark(text: str, *, ascii_only: bool = False) -> str:
    """Return a server's message as one safe line of bounded length."""
    return isolated(first_line(text, limit=_MESSAGE_COLUMNS, ascii_only=ascii_only))


def connection(line: ConnectionChanged, *, ascii_only: bool = False) -> str:
    """Return a change of the connection in words."""
    words = said(_STATES[line.state])
    if line.state == "reconnecting" and line.retry_in:
        words = said("connection lost, reconnecting in {time}", time=amounts.duration(line.retry_in))
    if line.state == "connected" and line.protocol is not None:
        words += " (" + said("protocol {number}", number=line.protocol) + ")"
    if line.reason:
        words += f": {isolated(first_line(line.reason, limit=_REASON_COLUMNS, ascii_only=ascii_only))}"
    return words


def bad_end(view: JobView, *, ascii_only: bool = False) -> str:
    """Return how a job ended that did not end well, with what the server said of it."""
    word = rows.how_it_ended(view)
    match view.end:
        case ExportFailedLine(error=error):
            return f"{word}: {remark(error, ascii_only=ascii_only)}"
        case ExportCancelled(cancelled_by=by, cleanup_completed=cleaned):
            words = said("cancelled by {name}", name=remark(by, ascii_only=ascii_only)) if by else word
            if cleaned is not None:
                words += f"; {said(_CLEANED if cleaned else _NOT_CLEANED)}"
            return words
        case _:
            pass
    if view.result is not None and view.result.error is not None:
        return f"{word}: {remark(view.result.error.message, ascii_only=ascii_only)}"
    return word


def standing(view: JobView, now: float, *, ascii_only: bool = False) -> str:
    """Return how far a job is, in one line: the words of its two bars without the bars."""
    parts: list[str] = []
    for row in (rows.processing(view, now), rows.downloading(view, now)):
        if row.words[0].text == said(rows.WAITING) and parts:
            continue
        share = [] if row.percent is None else [f"{int(row.percent)}%"]
        said_here = [piece.text for piece in row.words if piece.text != said(rows.NO_ETA)]
        words = [isolated(visible(text, ascii_only=ascii_only)) for text in said_here]
        # The label is a noun, which German writes large.
        label = row.label if spoken() == "de" else row.label.lower()
        parts.append(f"{label} " + ", ".join(share + words))
    return "; ".join(parts)
