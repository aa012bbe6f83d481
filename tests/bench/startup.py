"""What the answers of `exportctl` cost, as multiples of a bare `python -c pass`, in one run and in turns.

    python tests/bench/startup.py [ROUNDS] [COMMAND]

COMMAND is the installed `exportctl` to measure, by default the one beside the interpreter; the bare start is that of
the interpreter in the command's own first line. Wall time and CPU time, medians; the smallest as well, since a busy
machine only ever adds. Exits 0 whatever it finds: a benchmark is no test.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 40
# As users have it: bytecode is kept, which the first, uncounted round sees to.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def interpreter(command):
    first = Path(command).read_text("utf-8").partition("\n")[0]
    return first.removeprefix("#!").strip() if first.startswith("#!/") else sys.executable


def cases(command):
    python = interpreter(command)
    return {
        "python -c pass": ([python, "-c", "pass"], None),
        "exportctl --version": ([command, "--version"], 2.0),
        "exportctl --help": ([command, "--help"], 8.0),
        "exportctl run --help": ([command, "run", "--help"], 8.0),
        "a completion": ([command, "__complete", "bash", "run", "sample", "--pro"], 4.0),
        "a completion of jobs": ([command, "__complete", "bash", "status", "a"], 4.0),
        "a completion of a target": ([command, "__complete", "bash", "run", "a"], 4.0),
        "(help by typer)": ([command, "run", "x", "--help"], None),
        "(import typer)": ([python, "-c", "import typer"], None),
        "(import pydantic)": ([python, "-c", "from pydantic import TypeAdapter"], None),
        "(refused: run)": ([command, "run", "./no-such-folder"], None),
    }


def measured(words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    none = subprocess.DEVNULL
    subprocess.run(words, stdin=none, stdout=none, stderr=none, env=ENVIRONMENT, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    command = sys.argv[2] if len(sys.argv) > 2 else str(Path(sys.executable).with_name("exportctl"))
    todo = cases(command)
    found = {name: [] for name in todo}
    for words, _ in todo.values():
        measured(words)  # bytecode and the disk's cache
    for _ in range(rounds):
        for name, (words, _) in todo.items():
            found[name].append(measured(words))
    walls = {name: [wall for wall, _ in times] for name, times in found.items()}
    cpus = {name: [cpu for _, cpu in times] for name, times in found.items()}
    bare = "python -c pass"
    sys.stdout.write(f"{rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    sys.stdout.write(
        f"{'':22}{'wall ms':>9}{'ratio':>7}{'min ms':>8}{'ratio':>7}{'CPU ms':>8}{'ratio':>7}{'budget':>8}\n"
    )
    for name, (_, budget) in todo.items():
        row = f"{name:22}"
        for pick, times in ((statistics.median, walls), (min, walls), (statistics.median, cpus)):
            row += f"{pick(times[name]) * 1000:>{9 if pick is statistics.median and times is walls else 8}.1f}"
            row += f"{pick(times[name]) / pick(times[bare]):>6.2f}x"
        sys.stdout.write(row + (f"{budget:>7g}x" if budget else "") + "\n")


if __name__ == "__main__":
    main()
