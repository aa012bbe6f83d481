"""How long an event takes from the server's write to the line, read from the command's standard output.

    python tests/bench/latency.py [EVENTS] [PER_SECOND]

2,000 events, 200 a second by default, over loopback from a real Socket.IO server in its own process. The line is timed
where a reader of the pipe has it, so the pipe and the reader's waking are in the figures. Budget: a median below 2 ms.
Exits 0 whatever it finds: a benchmark is no test.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import follow


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    per_second = float(sys.argv[2]) if len(sys.argv) > 2 else 200
    with follow.start_server(count, per_second) as server, tempfile.TemporaryDirectory() as home:
        try:
            words = follow.our_command(f"http://127.0.0.1:{int(server.stdout.readline())}")
            took = []
            with subprocess.Popen(words, stdout=subprocess.PIPE, env=follow.at_home(home)) as process:
                while line := process.stdout.readline():
                    now = time.monotonic_ns()
                    told = json.loads(line)
                    if told["event"] == "export:progress":
                        took.append((now - int(told["message"])) / 1e6)
        finally:
            server.terminate()
    took.sort()
    print(f"{len(took):,} events, {per_second:g} a second, load {os.getloadavg()[0]:.1f}")
    for name, value in (
        ("median", statistics.median(took)),
        ("99 %", took[int(len(took) * 0.99)]),
        ("worst", took[-1]),
    ):
        print(f"{name:8}{value:>8.2f} ms" + (f"  budget {BUDGET_MS:g} ms" if name == "median" else ""))


BUDGET_MS = 2.0

if __name__ == "__main__":
    main()
