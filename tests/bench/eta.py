"""How wrong the time left is that recorded runs would have shown, against tqdm's own estimate.

    python tests/bench/eta.py [RECORDING.ndjson | TRANSCRIPT.ndjson ...]

Recordings are `--events` of real runs, transcripts those of protocol 1 (`wire/protocol1/` beside the clone). At 25, 50
and 75 % of the time of the processing the estimate is held against what came: the error is a share of the whole time.
tqdm is given the same progress at the same times. "server" is what the server said; "shown" is what the command shows,
the server's value where there is one and else ours. No estimate is not counted as an error, but as that.
"""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from exportctl.model.eta import Estimate
from exportctl.protocol.dialects import dialect1
from exportctl.protocol.events import Completed, Progress, StageProgress

MARKS = (0.25, 0.5, 0.75)
ROOT = Path(__file__).parents[2]
LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event: seconds since the beginning, and what it said."""

    at: float
    progress: float | None
    stage: str | None
    counts: StageProgress | None
    server: float | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """The processing of one job."""

    name: str
    seconds: float
    told: list[Told]


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
            yield Run(name=path.stem, seconds=end - begin, told=told)


def transcript(path: Path) -> Iterator[Run]:
    """Read frames of protocol 1, as its dialect reads them."""
    jobs: dict[str, list[Told]] = {}
    begins: dict[str, float] = {}
    for text in path.read_text("utf-8").splitlines():
        entry = json.loads(text)
        found = re.match(r'42\["(export:\w+)",(.*)\]$', entry.get("frame", ""))
        if found is None or entry.get("socket") or entry.get("dir") != "ws-recv":
            continue
        event, at = dialect1.decode(found[1], json.loads(found[2])), entry["t"]
        begin = begins.setdefault(event.job_id, at)
        if isinstance(event, Progress):
            jobs.setdefault(event.job_id, []).append(
                Told(
                    at=at - begin,
                    progress=event.progress,
                    stage=event.stage,
                    counts=event.stage_progress,
                    server=None,
                )
            )
        elif isinstance(event, Completed) and event.job_id in jobs:
            yield Run(name=f"{path.stem} (protocol 1)", seconds=at - begin, told=jobs.pop(event.job_id))


def by_tqdm(run: Run) -> list[tuple[float, float | None]]:
    """Return tqdm's estimate at each event."""
    now = [0.0]
    bar = tqdm(total=100, file=io.StringIO(), mininterval=0, miniters=0)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = 0.0
    said = []
    for one in run.told:
        now[0] = one.at
        if one.progress is not None and one.progress > bar.n:
            bar.update(one.progress - bar.n)
        shown = bar.format_dict
        rate = shown["rate"] or (shown["n"] / shown["elapsed"] if shown["elapsed"] else None)
        said.append((one.at, (100 - shown["n"]) / rate if rate else None))
    bar.close()
    return said


def by_us(run: Run) -> list[tuple[float, float | None]]:
    """Return our estimate at each event."""
    estimate, said = Estimate(began=0.0), []
    for one in run.told:
        estimate.take(one.at, one.progress, one.stage, one.counts)
        said.append((one.at, estimate.left(one.at)))
    return said


def by_server(run: Run) -> list[tuple[float, float | None]]:
    """Return what the server said."""
    return [(one.at, one.server) for one in run.told]


def shown(run: Run) -> list[tuple[float, float | None]]:
    """Return what the command shows."""
    return [
        (at, ours if said is None else said) for (at, said), (_, ours) in zip(by_server(run), by_us(run), strict=True)
    ]


def errors(run: Run, estimates: list[tuple[float, float | None]]) -> list[float | None]:
    """Return the error at each mark, as a share of the run's time; None where nothing was estimated."""
    found: list[float | None] = []
    for mark in MARKS:
        now = mark * run.seconds
        at, said = next(((at, said) for at, said in reversed(estimates) if at <= now), (0.0, None))
        # What was said is counted down, as the bars do.
        found.append(None if said is None else abs(max(said - (now - at), 0) - (run.seconds - now)) / run.seconds)
    return found


WAYS: dict[str, Callable[[Run], list[tuple[float, float | None]]]] = {
    "tqdm": by_tqdm,
    "ours": by_us,
    "server": by_server,
    "shown": shown,
}


def main() -> int:
    """Print the errors of each run, and the mean of all."""
    folders = (ROOT / "tests/recordings/eta", ROOT.parent / "shared/wire/protocol1")
    paths = [Path(word) for word in sys.argv[1:]] or [path for folder in folders for path in sorted(folder.glob("*"))]
    runs: list[Run] = []
    for path in paths:
        runs += (transcript if '"dir"' in path.read_text("utf-8")[:200] else recorded)(path)
    runs = [run for run in runs if run.seconds >= LEAST_SECONDS]
    means: dict[str, list[list[float]]] = {way: [[] for _ in MARKS] for way in WAYS}
    print(f"{'run':34}{'seconds':>8}  " + "".join(f"{way + ' 25/50/75 %':>22}" for way in WAYS))
    for run in runs:
        row = f"{run.name:34}{run.seconds:8.1f}  "
        for way, estimates in WAYS.items():
            found = errors(run, estimates(run))
            row += f"{' '.join('   -' if error is None else f'{error:4.0%}' for error in found):>22}"
            for mean, error in zip(means[way], found, strict=True):
                if error is not None:
                    mean.append(error)
        print(row)
    for way, marks in means.items():
        every = [error for mark in marks for error in mark]
        said = " ".join(f"{sum(mark) / len(mark):4.0%}" if mark else "   -" for mark in marks)
        print(f"{way:8} mean error {said}   all {sum(every) / max(len(every), 1):5.1%} of {len(every)} estimates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
