"""What it gains to fetch an archive while it is made: `exportctl run` with and without `--no-live`, on a slow link.

    python tests/bench/live.py [--images 60] [--rounds 3] [--shares 0.5,1,2] [--folder FOLDER] [--together]

The link is made so fast that the download takes as long as the processing does, half as long and twice as long
(`--shares`). Printed is the time from start to file over the longer of the two phases, as medians, both phases taken
from the same round's `--no-live`. The issue that this came with promises 1.1 at most while live; one after the other it
is 1.5 to 2. The last line is a small export on a fast link, which must not get slower.

Server and client are apart: one has half of the processors, client and link the others, as if each had a machine of its
own. On the same ones the client's hashing would be taken from the drawing, which takes all there is: in the round that
is compared with nobody fetches meanwhile. `--together` does so all the same. A benchmark, no test.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from download import free_port, wait_for
from link import Link

EXPORTCTL = [sys.executable, "-m", "exportctl"]


def pictures(folder, count, side):
    """Make pictures of noise, each with a few polygons."""
    code = f"""
import sys, json, cv2, numpy as np
from pathlib import Path
folder, random = Path(sys.argv[1]), np.random.default_rng(1)
folder.mkdir()
images, annotations = [], []
for n in range({count}):
    noise = cv2.GaussianBlur(random.integers(0, 255, ({side}, {side}, 3), np.uint8), (3, 3), 0)
    cv2.imwrite(str(folder / f"{{n:04}}.png"), noise)
    images.append({{"id": n, "file_name": f"{{n:04}}.png", "width": {side}, "height": {side}}})
    for k in range(20):
        x, y = random.integers(0, {side} - 60, 2).tolist()
        annotations.append({{"id": len(annotations) + 1, "image_id": n, "category_id": 1,
            "segmentation": [[x, y, x + 50, y, x + 50, y + 50, x, y + 50]]}})
coco = {{"images": images, "annotations": annotations, "categories": [{{"id": 1, "name": "cell"}}]}}
(folder / "annotations.json").write_text(json.dumps(coco))
"""
    subprocess.run([sys.executable, "-c", code, folder], check=True)


def run(title, url, folder, env, *options):
    """Run one export to its file; return its result line."""
    out = folder / "out.zip"
    out.unlink(missing_ok=True)
    words = [*EXPORTCTL, "run", title, "--server", url, "-o", out, "--ndjson", "--progress", "none", *options]
    done = subprocess.run(words, env=env, check=True, capture_output=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--side", type=int, default=1400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shares", default="0.5,1,2")
    parser.add_argument("--folder", type=Path, help="where all is written")
    parser.add_argument("--together", action="store_true", help="let server and client share all processors")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        pictures(folder / "many", asked.images, asked.side)
        pictures(folder / "few", 3, 256)
        port, token = free_port(), "a-token-for-the-benchmark-only"
        env = {**os.environ, "EXPORTCTL_TOKEN": token, "EXPORTCTL_STATE": "off"}
        serve = [
            "serve",
            folder / "many",
            folder / "few",
            "--port",
            str(port),
            "--token",
            token,
            "--state",
            folder / "s",
        ]
        processors = None if asked.together else apart()
        server = subprocess.Popen([*EXPORTCTL, *serve], stdout=subprocess.DEVNULL, env=env)
        try:
            if processors is not None:
                os.sched_setaffinity(server.pid, processors)
            wait_for(f"http://127.0.0.1:{port}/api/health")
            link = Link(port)
            first = run("many", link.url, folder, env, "--no-live")
            size, processing = first["bytes"], first["seconds"]["processing"]
            print(f"{asked.images} images, an archive of {size / 1e6:.0f} MB, made in {processing:.1f} s")
            for share in map(float, asked.shares.split(",")):
                link.set_rate(size / (share * processing))
                print(f"{f'download {share:g} times the processing':>34}: {compared(link, folder, env, asked.rounds)}")
            link.set_rate(None)
            small(link, folder, env, 3 * asked.rounds)
        finally:
            server.terminate()
            server.wait()


def apart():
    """Keep to half of the processors, with all that is started from now on; return the others, None where none are."""
    if not hasattr(os, "sched_setaffinity") or len(has := sorted(os.sched_getaffinity(0))) == 1:
        print("server and client share their processors")
        return None
    half = len(has) // 2
    os.sched_setaffinity(0, has[half:])
    return has[:half]


def compared(link, folder, env, rounds):
    """Return the ratios of one speed of the link."""
    live, after = [], []
    for _ in range(rounds):
        slow, fast = run("many", link.url, folder, env, "--no-live"), run("many", link.url, folder, env)
        longer = max(slow["seconds"]["processing"], slow["seconds"]["downloading"])
        live.append(fast["seconds"]["total"] / longer)
        after.append(slow["seconds"]["total"] / longer)
    return f"live {statistics.median(live):4.2f} · --no-live {statistics.median(after):4.2f}"


def small(link, folder, env, rounds):
    """Print what live costs an export of three small images on a fast link."""
    pairs = [
        (
            run("few", link.url, folder, env)["seconds"]["total"],
            run("few", link.url, folder, env, "--no-live")["seconds"]["total"],
        )
        for _ in range(rounds)
    ]
    live, after = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{'3 small images, fast link':>34}: live {live:.2f} s · --no-live {after:.2f} s")


if __name__ == "__main__":
    main()
