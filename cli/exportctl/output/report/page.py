"""The page around the picture: one HTML file that needs nothing else, no network and no script."""

from html import escape
from typing import Final

from exportctl.output import amounts
from exportctl.output.report.history import History, JobHistory
from exportctl.output.report.picture import COLOURS, STYLE, picture
from exportctl.output.safe import first_line, visible

_PAGE: Final = """
body { margin: 0 auto; padding: 16px; max-width: 1100px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 8px 0; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 24px 0 4px; }
p { margin: 4px 0; overflow-wrap: anywhere; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; } section + section { margin-top: 12px; }
@media (max-width: 480px) { th, td { padding-right: 8px; font-size: 13px; } }
svg { display: block; margin: 12px 0; overflow: visible; }
"""
_COLUMNS: Final = ("Stage", "From", "To", "Seconds", "Share")
_WARNINGS: Final = 20


def page(found: History) -> str:
    """Return the HTML."""
    jobs = list(found.jobs.values())
    title = visible(jobs[0].project or jobs[0].job_id) if len(jobs) == 1 else f"{len(jobs)} exports"
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="soft">{escape(_of(found))}</p>']
    if not found.has_end:
        parts.append("<p><strong>The recording breaks off before the end.</strong></p>")
    for job in jobs:
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in _said(job, is_named=len(jobs) > 1))
        parts.append(f"<section>{sentences}</section>")
    parts += ["<h2>Timeline</h2>", picture(found)]
    for job in jobs:
        parts += _stages(job, is_named=len(jobs) > 1)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}: where the time went</title><style>{COLOURS}{_PAGE}{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _of(found: History) -> str:
    words = [f"exportctl {visible(found.command)}".strip(), f"against {visible(found.server)}" if found.server else ""]
    words.append(f"begun {visible(found.began_at)}" if found.began_at else "")
    lost = sum(span.name == "reconnecting" for span in found.outages)
    connection = f"the connection was lost {_times(lost)}" if lost else "the connection held"
    return ", ".join(word for word in [*words, amounts.duration(found.seconds), connection] if word)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _said(job: JobHistory, *, is_named: bool) -> list[str]:
    """Return what the numbers say, in sentences."""
    name = f"{visible(job.project or job.job_id)} ({visible(job.job_id)[:8]}): " if is_named else ""
    outcome = job.result.outcome if job.result else job.ended or "no end in this recording"
    words = [f"{name}{outcome}"]
    if job.processing is not None:
        words.append(f"processing {amounts.duration(job.processing.seconds)}")
    if job.downloading is not None:
        took = job.downloading.seconds
        rate = f" ({amounts.rate(job.bytes / took)})" if took and job.bytes else ""
        words.append(f"downloading {amounts.duration(took)}, {amounts.size(job.bytes)}{rate}")
    said = ["; ".join(words) + "."]
    slowest = job.slowest
    if slowest is not None:
        name, seconds = slowest
        work = " of work" if job.work else ""
        said.append(f"Slowest stage: {visible(name)}, {amounts.duration(seconds)}{work}.")
    if job.result is not None and job.result.error is not None:
        said.append(first_line(job.result.error.message, limit=300))
    if job.result is not None:
        said += [f"Warning: {first_line(text, limit=300)}" for text in job.result.warnings[:_WARNINGS]]
    return said


def _stages(job: JobHistory, *, is_named: bool) -> list[str]:
    spans = [span for span in (job.starting, job.processing, *job.stages.values(), job.downloading) if span is not None]
    if not spans:
        return []
    whole = max(span.end for span in spans) - min(span.begin for span in spans)
    rows = []
    for span in spans:
        share = f"{100 * span.seconds / whole:.0f} %" if whole else ""
        cells = [f"{span.begin:.2f}", f"{span.end:.2f}", f"{span.seconds:.2f}", share]
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(visible(span.name))}</td>{numbers}</tr>")
    head = "".join(f"<th{' class=number' if place else ''}>{name}</th>" for place, name in enumerate(_COLUMNS))
    title = f"Stages of {visible(job.job_id)[:8]}" if is_named else "Stages"
    return [
        f"<h2>{escape(title)}</h2>",
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>',
        '<p class="soft">Stages run side by side; seconds count from the beginning of the command.</p>',
    ]
