"""What it costs to follow a socket: this client, python-socketio's and the official Node client, on one story in turns.

    python tests/bench/follow.py [EVENTS] [ROUNDS]

A million events of 250 bytes by default, from a real Socket.IO server in its own process (`peers/story_server.py` says
how it keeps out of the way). Two contests, like with like:

- `received`: events reach a handler and are thrown away. Ours is the socket alone, up to `EventReceived`.
- `written`: each event is one line of JSON, written by itself to /dev/null. Ours is the whole command, `exportctl
  follow --ndjson`, which also orders, reduces and numbers; the other two write what they got and do nothing else.

Time runs on the server, from the first frame written to the connection's end; CPU is the client's whole process, its
start included. RSS at a tenth, half and nine tenths of the way. python-socketio's client needs aiohttp (`pip install
python-socketio[asyncio_client]`), Node's needs `npm ci --ignore-scripts` in tests/bench/node; one that is not there is
left out. PYTHON_PEER names another interpreter for python-socketio's.

Exits 0 whatever it finds: a benchmark is no test.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
JOB = "4b0f6a52-9c1f-4a5e-8a51-5b8b8c6f2d10"
NAMES = {"ours": "exportctl", "python": "python-socketio", "node": "socket.io-client (Node)"}


def our_command(url, *options):
    """Return the words of `exportctl follow`; lines on standard output and no bars unless `options` say otherwise."""
    exportctl = str(Path(sys.executable).with_name("exportctl"))
    options = options or ("--ndjson", "--progress", "none")
    return [exportctl, "follow", f"bench/{JOB}", "--server", url, "--transport", "socket", *options]


def commands(url):
    python = os.environ.get("PYTHON_PEER", sys.executable)
    node = shutil.which("node")
    has_python = subprocess.run([python, "-c", "import aiohttp, socketio"], capture_output=True, check=False)
    contests = {
        "received": {"ours": [sys.executable, str(HERE / "peers" / "our_socket.py"), url, "count", JOB]},
        "written": {"ours": our_command(url)},
    }
    for contest, mode in (("received", "count"), ("written", "lines")):
        if has_python.returncode == 0:
            contests[contest]["python"] = [python, str(HERE / "peers" / "python_client.py"), url, mode, JOB]
        if node is not None and (HERE / "node" / "node_modules").exists():
            contests[contest]["node"] = [node, str(HERE / "node" / "client.mjs"), url, mode, JOB]
    return contests


def at_home(folder):
    """Return an environment in which exportctl knows neither configuration nor jobs of whoever runs this."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EXPORTCTL_")}
    return {**bare, "HOME": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}


def resident(pid):
    """Return the MB of a process, None where there is no /proc."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGESIZE") / 2**20


def watched(words):
    """Run a client to its end; return its CPU seconds and its RSS by the way."""
    sizes = []
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=at_home(home)) as process,
    ):
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            sizes.append(resident(process.pid))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{words[0]} ended with {process.returncode}")
    sizes = [size for size in sizes if size is not None]
    marks = [sizes[int(len(sizes) * part)] for part in (0.1, 0.5, 0.9)] if sizes else []
    return usage.ru_utime + usage.ru_stime, marks


def start_server(*arguments):
    words = [sys.executable, str(HERE / "peers" / "story_server.py"), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with start_server(count) as server:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for contest, peers in commands(url).items():
                found = {name: [] for name in peers}
                for _ in range(rounds):
                    for name, words in peers.items():
                        cpu, marks = watched(words)
                        with urllib.request.urlopen(f"{url}/seconds") as answer:
                            found[name].append((json.load(answer), cpu, marks))
                show(contest, count, found)
        finally:
            server.terminate()


def show(contest, count, found):
    print(f"\n{contest}: {count:,} events, load {os.getloadavg()[0]:.1f}")
    print(f"{'':26}{'events/s':>10}{'ours is':>9}{'CPU s':>8}{'ours is':>9}   RSS MB at 10, 50, 90 %")
    wall = {name: statistics.median(run[0] for run in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(run[1] for run in runs) for name, runs in found.items()}
    for name, runs in found.items():
        marks = " ".join(f"{mark:.0f}" for mark in runs[-1][2])
        print(
            f"{NAMES[name]:26}{count / wall[name]:>10,.0f}{wall[name] / wall['ours']:>8.2f}x"
            f"{cpu[name]:>8.1f}{cpu[name] / cpu['ours']:>8.2f}x   {marks}",
            flush=True,
        )


if __name__ == "__main__":
    main()
