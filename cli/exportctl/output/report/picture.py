"""The picture: a timeline of bars and curves as one SVG.

Positions are per cent of its width, so that text keeps its size in every window; curves are stretched.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from exportctl.output import amounts
from exportctl.output.report.history import History, JobHistory, Span
from exportctl.output.safe import visible

WIDTH: Final = 960
_ROW: Final = 31
_CURVE: Final = 64
_BAR: Final = 12
_TICKS: Final = 5
_NAMES: Final = {"processing": "Processing", "downloading": "Downloading"}
COLOURS: Final = """
:root, svg { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --back: #ffffff; --processing: #0969da;
  --stage: #54aeff; --downloading: #1a7f37; --lost: #cf222e; --polling: #bf8700; }
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
svg .polling { fill: var(--polling); }
svg .curve { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
svg .rate { stroke: var(--downloading); } svg .share { stroke: var(--processing); }
"""


def picture(found: History, *, width: str = "100%") -> str:
    """Return the SVG; `width` in pixels where it stands alone."""
    drawn = _Drawing(found)
    for job in found.jobs.values():
        drawn.job(job)
    drawn.outages()
    return drawn.done(width)


def alone(found: History) -> str:
    """Return the SVG as a file of its own."""
    inner = picture(found, width=str(WIDTH))
    style = f"<style>{COLOURS}{STYLE} svg {{ background: var(--back); }}</style>"
    head, end, rest = inner.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{end}{style}{rest}\n'


class _Drawing:
    """Rows from top to bottom."""

    def __init__(self, found: History) -> None:
        self._found = found
        self._parts: list[str] = []
        self._y = 28.0

    def job(self, job: JobHistory) -> None:
        """Draw one job: its name, its phases, its stages, its rates."""
        name = visible(job.project or job.job_id)
        self._text(f"{name} ({visible(job.job_id)[:8]})", "title", up=4)
        self._y += 18
        self._bars("processing", [job.processing] if job.processing else [], _NAMES["processing"])
        for stage in sorted(job.stages.values(), key=lambda span: span.begin):
            self._bars("stage", [stage], f"   {visible(stage.name)}")
        if len(job.counts) > 1:
            self._curve("share", job.counts, "   progress", 100.0, "100 %")
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
            lost = sum(span.seconds for span in outages)
            self._bars("", outages, "Connection lost", amounts.duration(lost))
        self._y += 6

    def done(self, width: str) -> str:
        """Return the SVG, with the axis of time behind the rows."""
        height = self._y + 14
        found = self._found
        grid = []
        for tick in range(_TICKS):
            share = 100 * tick / (_TICKS - 1)
            anchor = ("start", "middle", "middle", "middle", "end")[tick]
            seconds = found.begin + found.seconds * share / 100
            grid.append(f'<line class="grid" x1="{share:g}%" x2="{share:g}%" y1="18" y2="{height:g}"/>')
            label = _signed(seconds)
            grid.append(f'<text class="soft" x="{share:g}%" y="12" text-anchor="{anchor}">{label}</text>')
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
        self._parts.append(
            f'<svg x="0" y="{self._y:g}" width="100%" height="{_CURVE}" viewBox="0 0 1000 100" '
            f'preserveAspectRatio="none"><polyline class="curve {kind}" points="{drawn}"/></svg>'
        )
        self._y += _CURVE + 12

    def _label(self, name: str, said: str) -> None:
        indent = len(name) - len(name.lstrip())
        self._parts.append(
            f'<text x="{4 * indent}" y="{self._y + 2:g}">{escape(name.strip())} '
            f'<tspan class="soft">{escape(said)}</tspan></text>'
        )
        self._y += 9

    def _text(self, text: str, kind: str, *, up: float = 0) -> None:
        self._y += 18
        self._parts.append(f'<text class="{kind}" x="0" y="{self._y - up:g}">{escape(text)}</text>')

    def _share(self, at: float) -> float:
        return 100 * min(max((at - self._found.begin) / self._found.seconds, 0.0), 1.0)


def _signed(seconds: float) -> str:
    return f"-{amounts.duration(-seconds)}" if seconds <= -0.05 else amounts.duration(max(seconds, 0.0))  # noqa: PLR2004 - what rounds to none
