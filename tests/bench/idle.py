"""What following costs while nothing happens: the command's CPU over a minute, by the way in which progress is shown.

    python tests/bench/idle.py [SECONDS]

The server takes the subscriptions and says nothing but Engine.IO's heartbeat, and holds polls back as long as they ask.
All ways run side by side, bars on a pseudo-terminal. Budget: 0.5 % of a core. Needs /proc. Exits 0 whatever it finds: a
benchmark is no test.
"""

import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import follow

SETTLE_SECONDS = 3
NDJSON = ("--progress", "none", "--ndjson")
FIFTY = tuple(f"bench/{number:08}-0000-4000-8000-000000000000" for number in range(49))
WAYS = {
    "bars": ("--progress", "bars"),
    "plain": ("--progress", "plain"),
    "NDJSON": NDJSON,
    "bars and NDJSON": ("--progress", "bars", "--ndjson"),
    "polling": ("--transport", "polling", *NDJSON),
    "bars and polling": ("--transport", "polling", "--progress", "bars"),
    "50 jobs": (*NDJSON, *FIFTY),
    "bars of 50 jobs": ("--progress", "bars", *FIFTY),
    "50 jobs, polling": ("--transport", "polling", *NDJSON, *FIFTY),
}


def cpu_seconds(pid):
    """Return the user and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_away(descriptor):
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        pass  # Linux says so when the terminal's other end is closed


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    with follow.start_server(1, 0) as server, tempfile.TemporaryDirectory() as home:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        running = {}
        try:
            for way, options in WAYS.items():
                ours, theirs = pty.openpty()
                running[way] = subprocess.Popen(
                    follow.our_command(url, *options),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=theirs,
                    env={**follow.at_home(home), "TERM": "xterm"},
                )
                os.close(theirs)
                threading.Thread(target=read_away, args=(ours,), daemon=True).start()
            time.sleep(SETTLE_SECONDS)
            before = {way: cpu_seconds(process.pid) for way, process in running.items()}
            time.sleep(seconds)
            print(f"{seconds:g} s, load {os.getloadavg()[0]:.1f}, budget 0.5 %")
            for way, process in running.items():
                print(f"{way:18}{(cpu_seconds(process.pid) - before[way]) / seconds:>8.2%}")
        finally:
            for process in running.values():
                process.kill()
                process.wait()
            server.terminate()


if __name__ == "__main__":
    main()
