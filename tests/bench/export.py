"""How much of an export is work on images: the whole command against the same tasks on a bare pool, in turn.

    python tests/bench/export.py [--images 1000] [--side 1024] [--rounds 2]

Prints for each round the wall time of both, the share of the export's processing that is not work on images, the
processor time used of what the cores offered, and the resident memory of the command, the server and its workers at a
quarter, half and the end of the run. `DESIGN.md` promises at most 5 % lost to events and archive for 120 images of
1400²; the issue that this came with 10 % for 1,000 of 1024². A benchmark, no test: it always ends well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path


def make_folder(folder: Path, images: int, side: int) -> None:
    """Write noisy pictures with fifty polygons each, the same every time."""
    import cv2  # noqa: PLC0415 - the pool's processes need none of it from here
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(20_261_124)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    listed, annotations = [], []
    for number in range(images):
        picture = np.clip(random.normal(60, 12, (side, side)), 0, 255).astype(np.uint8)
        for center in random.uniform(40, side - 40, (50, 2)):
            outline = center + ring * random.uniform(10, 35)
            cv2.fillPoly(picture, [outline.astype(np.int32)], float(random.uniform(120, 220)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": [outline.round(2).ravel().tolist()],
                }
            )
        cv2.imwrite(str(folder / f"picture_{number:05}.png"), picture)
        listed.append({"id": number, "file_name": f"picture_{number:05}.png", "width": side, "height": side})
    (folder / "annotations.json").write_text(
        json.dumps({"images": listed, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]})
    )


def bare(folder: Path, workers: int) -> float:
    """Run the export's own tasks on a pool, with no server, no events and no archive; return the seconds."""
    from exportctl.server.export.options import ExportOptions  # noqa: PLC0415 - after the folder was made
    from exportctl.server.export.tasks import plan_export, steps  # noqa: PLC0415

    options = ExportOptions()
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        parts = Path(scratch, "parts")
        parts.mkdir()
        pool.submit(os.getpid).result()  # the pool's own start is no work on images
        began = time.perf_counter()
        plan = plan_export(str(folder), str(Path(scratch, "plan")), options)
        waiting: dict[str | None, list[object]] = {}
        running = []
        for step in steps(plan, options, str(parts)):
            if step.after is None:
                running.append((step.group, pool.submit(step.call, *step.args)))
            else:
                waiting.setdefault(step.after, []).append(step)
        for group, held in waiting.items():
            for name, future in running:
                if name == group:
                    future.result()
            running += [(step.group, pool.submit(step.call, *step.args)) for step in held]
        for _, future in running:
            future.result()
        return time.perf_counter() - began


class Memory:
    """Resident bytes and processor seconds of a process and its descendants, sampled until it ends."""

    def __init__(self, pid: int) -> None:
        self.samples: list[dict[str, int]] = []
        self.busy: dict[int, float] = {}
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            sizes = {"command": resident(self._pid), "server": 0, "workers": 0}
            for child in children(self._pid):
                sizes["server"] += resident(child)
                workers = descendants(child)
                sizes["workers"] += sum(resident(one) for one in workers)
                self.busy |= {one: seconds for one in (child, *workers) if (seconds := processor(one))}
            self.samples.append(sizes)


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def processor(pid: int | str) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def whole(folder: Path, home: Path) -> tuple[float, Memory]:
    """Run the command; return the seconds of its processing, and what its processes took."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exportctl", "run", str(folder), "-o", str(home / "out.zip"), "--overwrite", "--ndjson"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(home)},
    )
    memory = Memory(process.pid)
    lines = [json.loads(line) for line in process.stdout or ()]
    process.wait()
    memory.end()
    if lines[-1]["exitCode"] != 0:
        raise SystemExit(lines[-1])
    completed = next(line for line in lines if line["event"] == "export:completed")
    return completed["processingTime"], memory


def main() -> None:
    """Run both in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch, "pictures"), Path(scratch, "home")
        folder.mkdir()
        home.mkdir()
        make_folder(folder, asked.images, asked.side)
        shares = []
        for number in range(1, asked.rounds + 1):
            alone = bare(folder, workers)
            processing, memory = whole(folder, home)
            offered = processing * workers
            shares.append(1 - alone / processing)
            print(
                f"round {number}: {asked.images} images {asked.side}²: bare pool {alone:.1f} s, "
                f"export {processing:.1f} s ({asked.images / processing:.1f} images/s), "
                f"not on images {shares[-1]:.1%}, {workers} cores {sum(memory.busy.values()) / offered:.0%} busy"
            )
            for name in ("command", "server", "workers"):
                sizes = [sample[name] / 1e6 for sample in memory.samples]
                at = [sizes[len(sizes) * part // 4] for part in (1, 2, 3)]
                told = " ".join(f"{size:.0f}" for size in at)
                print(f"  {name:8} resident MB at 1/4, 1/2, 3/4: {told}, most {max(sizes):.0f}")
        print(f"share of processing not spent on images, median of {asked.rounds}: {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()
