"""The export of the production backend against ours: the same project and options, on the same cores, in turn.

    python tests/bench/production.py --backend FOLDER --python PYTHON [--images 120] [--side 1400] [--rounds 2]

FOLDER is the `backend` of a checkout of the production server, its npm packages installed (`npm ci`; of the scripts
only canvas' own is needed); PYTHON an interpreter with fastapi, uvicorn, NumPy and OpenCV as its `requirements.txt`
pins them. Its export service and its service for metrics run as they are; only its database is read from memory
(`peers/production/rows.mjs`), in its favour. Ours is the whole command, its start, download and verification included.
Then the contents of both archives are compared. A benchmark, no test: it always ends well.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from export import make_folder

PEER = Path(__file__).parent / "peers" / "production"
SECRET = "0123456789abcdef" * 4


@contextlib.contextmanager
def metrics_service(python: str, backend: Path) -> Iterator[str]:
    """Run the backend's service for metrics; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [python, "-m", "uvicorn", "metrics:app", "--app-dir", str(PEER), "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "warning"], cwd=backend / "segmentation")
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/openapi.json"):
                break
            time.sleep(0.1)
        else:
            raise SystemExit("The metrics service did not start")
        yield address
    finally:
        process.terminate()
        process.wait()


def theirs(backend: Path, folder: Path, home: Path, metrics: str) -> tuple[float, Path]:
    """Let the production backend export the folder; return its seconds and its archive."""
    environment = {
        **os.environ,
        "ROWS": (PEER / "rows.mjs").as_uri(),
        "UPLOAD_DIR": str(folder),
        "EXPORT_DIR": str(home),
        "SEGMENTATION_SERVICE_URL": metrics,
        "NODE_ENV": "production",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
        "JWT_ACCESS_SECRET": SECRET,
        "JWT_REFRESH_SECRET": SECRET[::-1],
        "SESSION_SECRET": SECRET,
        "FROM_EMAIL": "nobody@example.org",
        "EMAIL_SERVICE": "none",
        **dict.fromkeys(("ALLOWED_ORIGINS", "CORS_ORIGIN", "WS_ALLOWED_ORIGINS", "FRONTEND_URL"), "http://localhost"),
    }
    command = ["node", "--import", "tsx", "--import", str(PEER / "hooks.mjs"), str(PEER / "run.mjs")]
    done = subprocess.run(command, cwd=backend, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines or json.loads(lines[-1])["status"] != "completed":
        raise SystemExit(f"The production backend failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    said = json.loads(lines[-1])
    return said["seconds"], Path(said["archive"])


def ours(folder: Path, home: Path) -> tuple[float, Path]:
    """Export the folder by our command; return its seconds and the archive."""
    archive = home / "ours.zip"
    command = [sys.executable, "-m", "exportctl", "run", str(folder), "-o", str(archive), "--overwrite", "-q"]
    formats = ["--annotations", "coco,yolo,json", "--metrics", "excel,csv,json"]
    began = time.perf_counter()
    subprocess.run([*command, *formats], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(home)})
    return time.perf_counter() - began, archive


def outlines(archive: zipfile.ZipFile) -> dict[str, list[list[float]]]:
    coco = json.loads(archive.read("annotations/coco/annotations.json"))
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    found = defaultdict(list)
    for annotation in coco["annotations"]:
        found[names[annotation["image_id"]]].append(annotation["segmentation"])
    return dict(found)


def areas(archive: zipfile.ZipFile) -> list[float]:
    rows = csv.DictReader(io.StringIO(archive.read("metrics/metrics.csv").decode("utf-8-sig")))
    return [float(next(value for title, value in row.items() if title.startswith("Area"))) for row in rows]


def compared(their_path: Path, our_path: Path) -> str:
    """Say what is the same in both archives."""
    with zipfile.ZipFile(their_path) as a, zipfile.ZipFile(our_path) as b:
        pictures = [
            {
                name: a_or_b.getinfo(name).CRC
                for name in a_or_b.namelist()
                if name.startswith("images/") and name[-1] != "/"
            }
            for a_or_b in (a, b)
        ]
        drawn = [
            sum(name.startswith("visualizations/") and name.endswith(".png") for name in z.namelist()) for z in (a, b)
        ]
        labels = [sum("yolo" in name and "picture" in name for name in z.namelist()) for z in (a, b)]
        rings, measured = [outlines(z) for z in (a, b)], [areas(z) for z in (a, b)]
    apart = max(abs(x - y) / y for x, y in zip(*measured, strict=True))
    return (
        f"{len(pictures[1])} images {'the same' if pictures[0] == pictures[1] else 'DIFFERENT'} bytes, "
        f"{sum(map(len, rings[1].values()))} polygons {'equal' if rings[0] == rings[1] else 'DIFFERENT'} in COCO, "
        f"overlays {drawn[0]} and {drawn[1]}, YOLO labels {labels[0]} and {labels[1]}, "
        f"rows of metrics {len(measured[0])} and {len(measured[1])}, areas at most {apart:.1e} apart"
    )


def main() -> None:
    """Run both in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--side", type=int, default=1400)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, metrics_service(asked.python, asked.backend) as metrics:
        folder, home = Path(scratch, "pictures"), Path(scratch, "home")
        folder.mkdir()
        make_folder(folder, asked.images, asked.side)
        ratios = []
        for number in range(1, asked.rounds + 1):
            home.mkdir()
            their_seconds, their_archive = theirs(asked.backend, folder, home, metrics)
            our_seconds, our_archive = ours(folder, home)
            ratios.append(their_seconds / our_seconds)
            sizes = [path.stat().st_size / 1e6 for path in (their_archive, our_archive)]
            print(
                f"round {number}: {asked.images} images {asked.side}²: production {their_seconds:.1f} s "
                f"({sizes[0]:.0f} MB), ours {our_seconds:.1f} s ({sizes[1]:.0f} MB), {ratios[-1]:.1f}x"
            )
            print(f"  {compared(their_archive, our_archive)}")
            shutil.rmtree(home)
        print(f"production's time to ours, median of {asked.rounds}: {statistics.median(ratios):.1f}x")


if __name__ == "__main__":
    main()
