"""What a busy server spends beside image work, and how late it answers meanwhile.

    python tests/bench/busy.py [--images 400] [--side 1024] [--workers 1 2] [--followers 20] [--pause 0.02]

One export runs on `exportctl serve` and followers read it by long polls: first with one worker and the server on a
single core, then with each number of workers in turn on all cores. Every `pause` seconds somebody asks for
/api/health, the job's status, the projects, the history or the metrics, each in turn. Printed are: images a second, and
the seconds of each stage summed over the workers; the processor time of the server's own process as a share of that of
all its processes, that of its loop (events, log, answers) and that of its other threads (the archive: reading, packing,
digest, writing); the median, 99 % and slowest answer by route, and the same in processor time of the server, which a
machine that others load too does not distort. `DESIGN.md` asks for 1.8 times the images of one process on two cores,
and at most 5 % lost. A benchmark, no test: it always ends well.
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
from collections import defaultdict
from pathlib import Path

import httpx
from export import descendants, make_folder, processor

TOKEN = "token-of-the-bench"


class Server:
    """`exportctl serve` as a process of its own."""

    def __init__(self, folder: Path, state: Path, workers: int, *, cores: set[int] | None = None) -> None:
        words = ["serve", str(folder), "--port", "0", "--state", str(state), "--workers", str(workers)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exportctl", *words, "--token", TOKEN],
            stdout=subprocess.PIPE,
            env={**os.environ, "HOME": str(state)},
            preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - no thread runs then
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().decode().strip()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=120)

    def spent(self) -> tuple[float, float, float]:
        """Return the processor seconds of the server's loop, of all its own process, and of its workers."""
        pid = self.process.pid
        return processor(f"{pid}/task/{pid}"), processor(pid), sum(map(processor, descendants(pid)))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def follow(server: Server, job: str, done: threading.Event) -> None:
    """Read a job's events by long polls to its end."""
    after = 0
    with server.client() as client:
        while not done.is_set():
            answer = client.get(f"/api/export/{job}/events", params={"after": after, "wait": 20}).json()
            after += len(answer["events"])
            if answer["status"] in {"completed", "failed", "cancelled"}:
                done.set()


def ask(
    server: Server, paths: dict[str, str], done: threading.Event, pause: float
) -> dict[str, list[tuple[float, float]]]:
    """Ask in turn until the export is done; returns wall and server's processor seconds of each answer, by route."""
    taken = defaultdict(list)
    clock = Path(f"/proc/{server.process.pid}/schedstat")
    with server.client() as client:
        while not done.is_set():
            for name, path in paths.items():
                busy, began = int(clock.read_text().split()[0]), time.perf_counter()
                client.get(path).raise_for_status()
                wall = time.perf_counter() - began
                taken[name].append((wall, (int(clock.read_text().split()[0]) - busy) / 1e9))
                time.sleep(pause)
    return taken


def show(name: str, samples: list[float]) -> str:
    ranked = sorted(samples)
    late = ranked[int(len(ranked) * 0.99)]
    return f"{name} {statistics.median(ranked) * 1e3:.1f} / {late * 1e3:.1f} / {ranked[-1] * 1e3:.1f}"


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--followers", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two questions")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, state = Path(scratch, "pictures"), Path(scratch, "state")
        folder.mkdir()
        make_folder(folder, asked.images, asked.side)
        rates = {}
        for workers, cores in ((1, {min(os.sched_getaffinity(0))}), *((number, None) for number in asked.workers)):
            name = f"{workers} workers, {'one core' if cores else 'all cores'}"
            server = Server(folder, state, workers, cores=cores)
            try:
                rates[name] = measure(server, asked, name)
            finally:
                server.end()
        first = next(iter(rates))
        for name, rate in rates.items():
            print(f"{name}: {rate / rates[first]:.2f} times the images of {first}")


def measure(server: Server, asked: argparse.Namespace, name: str) -> float:
    """Make one export, print what it cost, and return images a second."""
    everything = {"annotationFormats": ["coco", "yolo", "json"], "metricsFormats": ["excel", "csv", "json"]}
    with server.client() as client:
        project = client.get("/api/projects").json()["projects"][0]["id"]
        body = {"options": everything}
        job = client.post(f"/api/projects/{project}/export", json=body).json()["jobId"]
        before, began = server.spent(), time.perf_counter()
        done = threading.Event()
        followers = [threading.Thread(target=follow, args=(server, job, done)) for _ in range(max(asked.followers, 1))]
        for follower in followers:
            follower.start()
        paths = {
            "health": "/api/health",
            "status": f"/api/export/{job}",
            "projects": "/api/projects",
            "history": f"/api/projects/{project}/export/history",
            "metrics": "/metrics",
        }
        taken = ask(server, paths, done, asked.pause)
        wall = time.perf_counter() - began
        loop, own, workers = (after - at for after, at in zip(server.spent(), before, strict=True))
        for follower in followers:
            follower.join()
        end = client.get(f"/api/export/{job}").json()
        events = client.get(f"/api/export/{job}/events", params={"after": end["lastSeq"] - 1}).json()["events"]
    print(f"{asked.images} images {asked.side}², {name}, {asked.followers} followers: {end['status']}")
    print(f"{asked.images / wall:.1f} images/s; seconds by stage {json.dumps(events[-1]['data'].get('stages', {}))}")
    print(
        f"processor: workers {workers:.1f} s, server {own:.1f} s = {own / (own + workers):.1%} of all, "
        f"its loop {loop / (own + workers):.1%}, the archive {(own - loop) / (own + workers):.1%}"
    )
    print("answers, median / 99 % / slowest, milliseconds of wall time and of the server's processor:")
    for route, samples in taken.items():
        print(f"  {show(route, [one for one, _ in samples])}   cpu {show('', [one for _, one in samples])}")
    return float(asked.images / wall)


if __name__ == "__main__":
    main()
