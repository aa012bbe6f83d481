"""What several connections gain on a long way: curl, `exportctl download --connections 1` and more, aria2c -x the same.

    python tests/bench/connections.py [--size 40e6] [--delay MS] [--window BYTES] [--connections 4] [--rounds 3]

A proxy takes every byte `--delay` milliseconds each way and has `--window` bytes of one connection under way at most:
so one is no faster than the window a round trip, which is what several are for. Printed are wall times as medians and
their ratios to one connection's best. What is not simulated is how a congestion window grows: each new connection would
begin slowly, which favours those that keep theirs. A benchmark, no test.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from download import finished, measured
from link import Link


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=40e6)
    parser.add_argument("--delay", type=float, default=50.0, help="milliseconds on each way")
    parser.add_argument("--window", type=float, default=float(1 << 18), help="bytes of one connection under way")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with finished(folder, int(asked.size)) as (port, token, job):
            link = Link(port, delay=asked.delay / 1000, window=int(asked.window))
            per_second = asked.window / (2 * asked.delay / 1000)
            print(f"{asked.size / 1e6:.0f} MB, {per_second / 1e6:.1f} MB/s a connection:")
            contest(folder, link, token, job, asked)


def contest(folder, link, token, job, asked):
    """Run every client in turn and print what each took."""
    env = {**os.environ, "EXPORTCTL_TOKEN": token, "EXPORTCTL_STATE": "off"}
    out, many = folder / "out.zip", str(asked.connections)
    url = f"{link.url}/api/projects/{job.replace('/', '/export/')}/download"
    ours = [sys.executable, "-m", "exportctl", "download", job, "--server", link.url, "-o", str(out), "-q"]
    header = f"Authorization: Bearer {token}"
    clients = {
        "curl": ["curl", "-sS", "-H", header, "-o", str(out), url],
        "exportctl, 1": [*ours, "--connections", "1"],
        f"exportctl, {many}": [*ours, "--connections", many],
    }
    if shutil.which("aria2c"):
        split = [f"-x{many}", f"-s{many}", "-k1M", "--file-allocation=none"]
        place = ["-d", str(folder), "-o", out.name]
        clients[f"aria2c, {many}"] = ["aria2c", "-q", *split, f"--header={header}", *place, url]
    else:
        print("aria2c is not installed: not measured")
    found = {name: [] for name in clients}
    for _ in range(asked.rounds):
        for name, words in clients.items():
            out.unlink(missing_ok=True)
            found[name].append(measured(words, env)[0])
    best = min(statistics.median(found[name]) for name in ("curl", "exportctl, 1"))
    for name, rows in found.items():
        print(f"{name:>14}: {statistics.median(rows):6.2f} s ({statistics.median(rows) / best:4.2f})")


if __name__ == "__main__":
    main()
