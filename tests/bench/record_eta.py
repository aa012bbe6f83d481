"""Make the projects and record the runs that `eta.py` judges: many small images, few large, dense polygons, many sizes.

    python tests/bench/record_eta.py tuning|held-out FOLDER [ROUND]

Projects go to FOLDER, which may be kept; recordings to `tests/recordings/eta/`, cut down to what the benchmark reads.
The projects of the two sets differ in sizes, numbers and seeds. Machine and load are as they are: say so with figures.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from exportctl.server.export.opencv import cv2
from exportctl.server.export.sample import make_sample

HERE = Path(__file__).parents[1] / "recordings/eta"
FORMATS = ("--annotations", "coco,yolo,json", "--metrics", "excel,csv,json")
TABLES = ("--no-images", "--no-visualizations", *FORMATS)
KEPT = ("v", "seq", "event", "timestamp", "jobId", "serverSeq", "progress", "stage", "stageProgress")
SETS = {
    "tuning": {
        "small": ([160] * 700, (1, 6), 24, 1),
        "large": ([3000] * 14, (40, 80), 60, 3),
        "dense": ([400] * 160, (60, 120), 40, 5),
        "mixed": ([200, 600, 1200, 200, 2400, 600, 200, 1200, 200, 600] * 9, (3, 30), 40, 7),
    },
    "held-out": {
        "small": ([220] * 900, (2, 5), 32, 2),
        "large": ([3600] * 12, (20, 120), 50, 4),
        "dense": ([512] * 120, (80, 200), 48, 6),
        "mixed": ([256] * 40 + [800] * 20 + [1600] * 12 + [2800] * 8, (3, 30), 40, 8),
    },
}
RUNS = (
    ("small", ()),
    ("large", ()),
    ("dense", FORMATS),
    ("mixed", ()),
    ("dense", TABLES),
    ("small", FORMATS),
    ("mixed", FORMATS),
)
SAMPLES = (40, 150, 500)


def make(folder: Path, sizes: list[int], polygons: tuple[int, int], points: int, seed: int) -> None:
    """Write one project: noise with round outlines."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    images, annotations = [], []
    for number, side in enumerate(sizes, 1):
        noise = random.integers(0, 255, (side // 4 + 1, side // 4 + 1), dtype=np.uint8)
        name = f"img_{number:05d}.png"
        cv2.imwrite(str(folder / name), cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))
        images.append({"id": number, "file_name": name, "width": side, "height": side})
        for _ in range(int(random.integers(*polygons))):
            centre, reach = random.uniform(0.15 * side, 0.85 * side, 2), random.uniform(0.02, 0.12) * side
            angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
            wave = reach * (1 + 0.15 * np.cos(3 * angle + random.uniform(0, 6)))
            ring = centre + wave[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": [ring.clip(0, side - 1).round(1).ravel().tolist()],
                }
            )
    document = {"categories": [{"id": 1, "name": "cell"}], "images": images, "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(document))


def record(project: Path, options: tuple[str, ...], target: Path) -> None:
    """Export a folder on the embedded server, and keep what was told of the processing."""
    events, out = target.with_suffix(".part"), target.with_suffix(".zip")
    command = [sys.executable, "-m", "exportctl", "run", str(project), *options, "--events", str(events)]
    command += ["-o", str(out), "--overwrite", "--progress", "none"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "EXPORTCTL_STATE": "off"})
    out.unlink()
    cut_down(events, target)
    events.unlink()
    print(f"{target.name}: load {os.getloadavg()[0]:.1f}")


def cut_down(events: Path, target: Path) -> None:
    """Keep the numbered lines, and of them what the benchmark reads."""
    lines = [json.loads(text) for text in events.read_text("utf-8").splitlines()]
    kept = (*KEPT, "estimatedTimeRemaining")
    texts = [
        json.dumps({key: line[key] for key in kept if key in line}, separators=(",", ":"))
        for line in lines
        if line.get("serverSeq")
    ]
    target.write_text("\n".join(texts) + "\n", "utf-8")


def main() -> int:
    """Record one round of one set."""
    which, folder = sys.argv[1], Path(sys.argv[2])
    round_name = f"-{sys.argv[3]}" if len(sys.argv) > 3 else ""
    (HERE / which).mkdir(parents=True, exist_ok=True)
    for name, facts in SETS[which].items():
        make(folder / which / name, *facts)
    for name, options in RUNS:
        kind = {FORMATS: "-formats", TABLES: "-tables"}.get(options, "")
        record(folder / which / name, options, HERE / which / f"{name}{kind}{round_name}.ndjson")
    for count in SAMPLES if which == "held-out" else ():
        sample = folder / which / f"sample-{count}"
        if not sample.exists():
            make_sample(sample, count)
        record(sample, (), HERE / which / f"sample-{count}{round_name}.ndjson")
    return 0


if __name__ == "__main__":
    sys.exit(main())
