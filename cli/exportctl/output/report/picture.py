"""The picture: a timeline of bars and curves as one SVG.

Positions are per cent of its width, so that text keeps its size in every window; curves are stretched.
"""

import math
from collections.abc import Iterable
from html import escape
from typing import Final

from exportctl.output import amounts
from exportctl.output.report.history import History, JobHistory, Span
from exportctl.output.safe import shorten, visible

WIDTH: Final = 960
_MARGIN: Final = 20
_ROW: Final = 31
_CURVE: Final = 64
_BAR: Final = 12
_TICKS: Final = 5
"""Spaces between the marks of the axis, at most: six words have room in 360 pixels."""
_STEPS: Final = (*(n * 10.0**e for e in (-2, -1, 0) for n in (1, 2, 5)), *(1.0 * n for n in (10, 15, 30)))
"""Seconds, and the same of minutes, between two marks; then hours by their decimal places."""
_EDGE: Final = 6.0
"""Per cent from which a word in the middle of its mark has room."""
_TITLE: Final = 26
_MINUTE: Final = 60
_NAMES: Final = {"processing": "Processing", "downloading": "Downloading"}
COLOURS: Final = """
:root, svg { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --back: #ffffff; --processing: #0550ae;
  --stage: #218bff; --downloading: #1a7f37; --lost: #cf222e; --polling: #bf8700; }
@media (prefers-color-scheme: dark) { :root, svg { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117;
  --processing: #4493f8; --stage: #1f6feb; --downloading: #3fb950; --lost: #f85149; --polling: #d29922; } }
"""
STYLE: Final = """
svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .soft { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .title { font-weight: 600; }
svg .processing { fill: var(--processing); } svg .stage { fill: var(--stage); }
svg .downloading { fill: var(--downloading); } svg .reconnecting { fill: var(--lost); }
svg .polling { fill: var(--polling); } svg .starting { fill: var(--soft); }
svg .curve { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; } svg .under { opacity: 0.15; }
svg .curve.rate { stroke: var(--downloading); } svg .under.rate { fill: var(--downloading); }
svg .curve.share { stroke: var(--processing); } svg .under.share { fill: var(--processing); }
"""


def picture(found: History, *, width: str = "100%") -> str:
    """Return the SVG; `width` in pixels where it stands alone."""
    drawn = _Drawing(found)
    for job in found.jobs.values():
        drawn.job(job)
    drawn.outages()
    return drawn.done(width)


def alone(found: History) -> str:
    """Return the SVG as a file of its own, with a margin around the picture."""
    inner = picture(found, width=str(WIDTH))
    height = float(inner.partition('height="')[2].partition('"')[0])
    wide, high = WIDTH + 2 * _MARGIN, height + 2 * _MARGIN
    placed = inner.replace("<svg ", f'<svg x="{_MARGIN}" y="{_MARGIN}" ', 1)
    style = f"<style>{COLOURS}{STYLE} .page {{ fill: var(--back); }}</style>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high:g}" viewBox="0 0 {wide} {high:g}">'
        f'{style}<rect class="page" width="100%" height="100%"/>{placed}</svg>\n'
    )


class _Drawing:
    """Rows from top to bottom."""

    def __init__(self, found: History) -> None:
        self._found = found
        self._parts: list[str] = []
        self._y = 28.0

    def job(self, job: JobHistory) -> None:
        """Draw one job: its name, its phases, its stages, its rates."""
        outcome = job.result.outcome if job.result else job.ended
        self._title(visible(job.project or job.job_id), visible(job.job_id)[:8], f": {outcome}" if outcome else "")
        if job.starting is not None:
            self._bars("starting", [job.starting], "Before it began")
        self._bars("processing", [job.processing] if job.processing else [], _NAMES["processing"])
        for stage in sorted(job.stages.values(), key=lambda span: span.begin):
            self._bars("stage", [stage], f"   {visible(stage.name)}")
        if len(job.counts) > 1:
            reached = max(share for _, share in job.counts)
            self._curve("share", job.counts, "   progress", 100.0, f"up to {reached:.0f} %")
        self._bars("downloading", [job.downloading] if job.downloading else [], _NAMES["downloading"])
        if job.rates and job.downloading:
            most = max(rate for _, rate in job.rates)
            curve = [(job.downloading.begin, job.rates[0][1]), *job.rates, (job.downloading.end, job.rates[-1][1])]
            self._curve("rate", curve, "   throughput", most, f"{amounts.rate(most)} at most")
        self._y += 16

    def outages(self) -> None:
        """Draw the times without a socket."""
        outages = self._found.outages
        if outages:
            for span in outages:
                if span.end < span.begin:
                    span.end = self._found.end
            said = [
                f"{amounts.duration(seconds)} {kind}"
                for kind in ("reconnecting", "polling")
                if (seconds := sum(span.seconds for span in outages if span.name == kind))
            ]
            self._bars("", outages, "No socket", ", ".join(said) or "for a moment")
        self._y += 6

    def done(self, width: str) -> str:
        """Return the SVG, with the axis of time behind the rows."""
        height = self._y + 14
        found = self._found
        grid = []
        for seconds in ticks(found.begin, found.begin + found.seconds):
            share = self._share(seconds)
            anchor = "start" if share < _EDGE else "middle" if share < 100 - _EDGE else "end"
            grid.append(f'<line class="grid" x1="{share:.3f}%" x2="{share:.3f}%" y1="18" y2="{height:g}"/>')
            label = mark(seconds)
            grid.append(f'<text class="soft" x="{share:.3f}%" y="12" text-anchor="{anchor}">{label}</text>')
        said = f"Timeline of {len(found.jobs)} exports over {amounts.duration(found.seconds)}"
        view = "" if width.endswith("%") else f' viewBox="0 0 {width} {height:g}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}"{view} role="img" '
            f'aria-label="{escape(said)}">' + "".join(grid) + "".join(self._parts) + "</svg>"
        )

    def _bars(self, kind: str, spans: Iterable[Span], name: str, said: str | None = None) -> None:
        spans = list(spans)
        took = said if said is not None else amounts.duration(spans[0].seconds) if spans else "did not happen"
        self._label(name, took)
        for span in spans:
            begin, end = self._share(span.begin), self._share(max(span.end, span.begin))
            title = escape(f"{visible(span.name)}: {amounts.duration(span.seconds)}")
            wide = max(end - begin, 0.25)  # a moment is seen, too
            self._parts.append(
                f'<rect class="{kind or span.name}" x="{begin:.3f}%" y="{self._y:g}" width="{wide:.3f}%" '
                f'height="{_BAR}" rx="2"><title>{title}</title></rect>'
            )
        self._y += _ROW

    def _curve(self, kind: str, points: list[tuple[float, float]], name: str, most: float, said: str) -> None:
        self._label(name, said)
        drawn = " ".join(
            f"{10 * self._share(at):.1f},{100 - 96 * (value / most if most else 0):.1f}" for at, value in points
        )
        first, last = (10 * self._share(points[place][0]) for place in (0, -1))
        self._parts.append(
            f'<svg x="0" y="{self._y:g}" width="100%" height="{_CURVE}" viewBox="0 0 1000 100" '
            f'preserveAspectRatio="none"><path class="under {kind}" d="M{first:.1f},100 L{drawn} L{last:.1f},100 z"/>'
            f'<polyline class="curve {kind}" points="{drawn}"/></svg>'
        )
        self._y += _CURVE + 12

    def _label(self, name: str, said: str) -> None:
        indent = len(name) - len(name.lstrip())
        self._parts.append(
            f'<text x="{4 * indent}" y="{self._y + 2:g}">{escape(name.strip())} '
            f'<tspan class="soft">{escape(said)}</tspan></text>'
        )
        self._y += 9

    def _title(self, name: str, job_id: str, outcome: str) -> None:
        """Write a job's name, short enough for a telephone; it is told whole to whoever points at it."""
        shown = f"{shorten(name, _TITLE)} ({job_id}){outcome}"
        self._parts.append(
            f'<text class="title" x="0" y="{self._y + 14:g}">{escape(shown)}<title>{escape(name)}</title></text>'
        )
        self._y += 36

    def _share(self, at: float) -> float:
        return 100 * min(max((at - self._found.begin) / self._found.seconds, 0.0), 1.0)


def ticks(begin: float, end: float) -> list[float]:
    """Return the seconds at which to mark the axis: round ones, from the first one behind `begin`."""
    whole = end - begin
    hours = (n * 10.0**e * 3600 for e in range(6) for n in (1, 2, 5))
    steps = (*_STEPS, *(60 * n for n in (1, 2, 5, 10, 15, 30)), *hours)
    step = next((step for step in steps if whole / step <= _TICKS), whole / _TICKS)
    first = math.ceil(begin / step - 1e-9)
    return [step * number for number in range(first, first + _TICKS + 1) if step * number <= end + step * 1e-9]


def mark(seconds: float) -> str:
    """Return a round time in few letters: `0.5 s`, `-15 min`, `1 h 30 min`."""
    sign, whole = ("-" if seconds < 0 else ""), round(abs(seconds), 2)
    if whole < _MINUTE:
        return f"{sign}{whole:g} s"
    minutes, rest = divmod(round(whole), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    words = [f"{count} {unit}" for count, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if count]
    return sign + " ".join(words)
