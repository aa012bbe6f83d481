"""How wrong the time left is that recorded runs showed, or would have shown, against tqdm's own estimate.

    python tests/bench/eta.py [RECORDING.ndjson | TRANSCRIPT.ndjson ...]

Recordings are `--events` of real runs (`record_eta.py` makes such, on a machine that others load tenfold), transcripts
those of protocol 1 (`wire/protocol1/` beside the clone). Those in `tuning`, and the transcripts of `TUNING`, were
looked at while the estimate was made; the figures that count are those of the others, which were not.

At 25, 50 and 75 % of the time of the processing what is shown then is held against what came. "ours" is what the
command shows, counted down as the bars do: the server's value where it gave one, else the client's own estimate. tqdm
is a bar of 100 that is updated with the same progress at the same times, its options as they are by default; its time
left is what it prints when drawn at the mark. The error is |shown - true| / whole time, in brackets / true. "-" is no
estimate; a mean is of the marks at which both gave one. "usual" is ours where an earlier job is known.
"""

import io
import json
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from exportctl.model.eta import Estimate, Usual, wanted_of
from exportctl.protocol.dialects import dialect1
from exportctl.protocol.events import Completed, Progress, StageProgress

MARKS = (0.25, 0.5, 0.75)
ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests/recordings/eta"
TRANSCRIPTS = ROOT.parent / "shared/wire/protocol1"
TUNING = frozenset({"operation_cancel", "small_export", "edge"})
"""Transcripts. `full_export` is held out, though it is of the same project and server as `operation_cancel`."""
LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event: seconds since the beginning, and what it said."""

    at: float
    progress: float | None
    stage: str | None
    counts: StageProgress | None
    server: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """The processing of one job. `wanted`: its stages, where the server said nothing of time."""

    name: str
    seconds: float
    told: list[Told]
    wanted: frozenset[str] | None = None
    is_tuning: bool = False


@dataclass(kw_only=True)
class Shown:
    """The errors of one way of estimating, of the whole time and of what was left; None where nothing was shown."""

    of_whole: list[float | None] = field(default_factory=list)
    of_left: list[float | None] = field(default_factory=list)

    def note(self, said: float | None, true: float, whole: float) -> None:
        """Hold what was shown against the truth."""
        self.of_whole.append(None if said is None else abs(said - true) / whole)
        self.of_left.append(None if said is None else abs(said - true) / true)

    def __str__(self) -> str:
        pairs = zip(self.of_whole, self.of_left, strict=True)
        return "".join(f"{'-':>12}" if one is None else f"{one:6.1%}{f'({two:.0%})':>6}" for one, two in pairs)


def recorded(path: Path) -> Iterator[Run]:
    """Read what `--events` wrote, by the server's clock."""
    jobs: dict[str, list[dict]] = {}
    for text in path.read_text("utf-8").splitlines():
        line = json.loads(text)
        if line.get("serverSeq"):
            jobs.setdefault(line["jobId"], []).append(
                {**line, "t": datetime.fromisoformat(line["timestamp"]).timestamp()}
            )
    for lines in jobs.values():
        begin = lines[0]["t"]
        end = next((line["t"] for line in lines if line["event"] == "export:phase-changed"), None)
        told = [
            Told(
                at=line["t"] - begin,
                progress=line["progress"],
                stage=line["stage"],
                counts=StageProgress(**line["stageProgress"]) if line["stageProgress"] else None,
                server=line["estimatedTimeRemaining"],
            )
            for line in lines
            if line["event"] == "export:progress"
        ]
        if end is not None:
            yield Run(name=path.stem, seconds=end - begin, told=told, is_tuning=path.parent.name == "tuning")


def transcript(path: Path) -> Iterator[Run]:
    """Read frames of protocol 1, as its dialect reads them."""
    jobs: dict[str, list[Told]] = {}
    begins: dict[str, float] = {}
    wanted: dict[str, frozenset[str] | None] = {}
    asked: dict[str, object] = {}
    for text in path.read_text("utf-8").splitlines():
        entry = json.loads(text)
        if entry.get("method") == "POST" and str(entry.get("path")).endswith("/export"):
            body = entry.get("body") or {}
            if entry["dir"] == "http-request":
                asked[entry["path"]] = body.get("options") if isinstance(body, dict) else None
            elif isinstance(body, dict) and "jobId" in body:
                wanted[body["jobId"]] = wanted_of(asked[entry["path"]])
        found = re.match(r'42\["(export:\w+)",(.*)\]$', entry.get("frame", ""))
        if found is None or entry.get("socket") or entry.get("dir") != "ws-recv":
            continue
        event, at = dialect1.decode(found[1], json.loads(found[2])), entry["t"]
        begin = begins.setdefault(event.job_id, at)
        if isinstance(event, Progress):
            one = Told(at=at - begin, progress=event.progress, stage=event.stage, counts=event.stage_progress)
            jobs.setdefault(event.job_id, []).append(one)
        elif isinstance(event, Completed) and event.job_id in jobs:
            yield Run(
                name=f"{path.stem} {event.job_id[:4]} (1)",
                seconds=at - begin,
                told=jobs.pop(event.job_id),
                wanted=wanted.get(event.job_id),
                is_tuning=path.stem in TUNING,
            )


def by_tqdm(run: Run) -> Shown:
    """Return the errors of what tqdm prints."""
    now, shown = [0.0], Shown()
    tqdm.monitor_interval = 0  # no thread: the clock is ours
    bar = tqdm(total=100, file=io.StringIO(), miniters=0, bar_format="{remaining_s}", ncols=80)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = 0.0
    told = list(run.told)
    for mark in MARKS:
        while told and told[0].at <= mark * run.seconds:
            one = told.pop(0)
            now[0] = one.at
            if one.progress is not None and one.progress > bar.n:
                bar.update(one.progress - bar.n)
        now[0] = mark * run.seconds
        said = float(str(bar) or 0) if bar.n else None
        shown.note(said, run.seconds - now[0], run.seconds)
    bar.close()
    return shown


def by_us(run: Run, usual: Usual | None = None) -> Shown:
    """Return the errors of what the command shows."""
    is_given = any(one.server is not None for one in run.told)
    estimate, shown, told, given = (
        Estimate(began=0.0, wanted=run.wanted, usual=usual),
        Shown(),
        list(run.told),
        (0.0, None),
    )
    for mark in MARKS:
        now = mark * run.seconds
        while told and told[0].at <= now:
            one = told.pop(0)
            estimate.take(one.at, one.progress, one.stage, one.counts)
            given = (one.at, one.server if is_given else estimate.left(one.at))
        at, said = given
        shown.note(None if said is None else max(said - (now - at), 0), run.seconds - now, run.seconds)
    return shown


def usual_of(run: Run) -> Usual:
    """Return what a later job would know of this one."""
    estimate = Estimate(began=0.0, wanted=run.wanted)
    for one in run.told:
        estimate.take(one.at, one.progress, one.stage, one.counts)
    return Usual(seconds=estimate.spent, images=estimate.images)


def mean(values: list[float]) -> str:
    """Spell a mean."""
    return f"{sum(values) / len(values):6.1%}" if values else "     -"


def table(title: str, runs: list[Run], usual: Usual | None) -> None:
    """Print the errors of each run, and the means."""
    print(f"\n{title}: {len(runs)} runs")
    print(f"{'':26}{'seconds':>8} {'tqdm at 25 %, 50 %, 75 %':>36} {'ours at 25 %, 50 %, 75 %':>36}")
    both: list[tuple[int, float, float]] = []
    silent = 0
    for run in runs:
        theirs, ours = by_tqdm(run), by_us(run)
        known = (
            f" usual{by_us(run, usual)}"
            if usual is not None and run.wanted is not None and usual_of(run).images == usual.images
            else ""
        )
        print(f"{run.name:26}{run.seconds:8.1f} {theirs} {ours}{known}")
        for at, (their, our) in enumerate(zip(theirs.of_whole, ours.of_whole, strict=True)):
            if their is not None and our is not None:
                both.append((at, their, our))
            silent += our is None
    for at, mark in enumerate(MARKS):
        pairs = [pair for pair in both if pair[0] == at]
        print(f"  at {mark:.0%}  tqdm {mean([one[1] for one in pairs])}  ours {mean([one[2] for one in pairs])}")
    theirs_of_all, ours_of_all = [one[1] for one in both], [one[2] for one in both]
    for word, of in (("mean", statistics.fmean), ("median", statistics.median)):
        their, our = of(theirs_of_all), of(ours_of_all)
        print(f"  {word:7} tqdm {their:6.1%}  ours {our:6.1%}  ours / tqdm = {our / their:.2f}")
    print(f"  of {len(both)} marks; {silent} of {len(MARKS) * len(runs)} are without an estimate of ours")


def main() -> int:
    """Print the errors of the runs that were tuned on, and of those held out."""
    paths = [Path(word) for word in sys.argv[1:]] or [
        *sorted(RECORDINGS.rglob("*.ndjson")),
        *sorted(TRANSCRIPTS.glob("*")),
    ]
    runs: list[Run] = []
    for path in paths:
        runs += (transcript if '"dir"' in path.read_text("utf-8")[:200] else recorded)(path)
    runs = [run for run in runs if run.seconds >= LEAST_SECONDS]
    tuned = [run for run in runs if run.is_tuning]
    longest = max((run for run in tuned if run.wanted is not None), key=lambda run: run.seconds, default=None)
    table("tuned on", tuned, None)
    table("held out", [run for run in runs if not run.is_tuning], None if longest is None else usual_of(longest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
