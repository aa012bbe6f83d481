"""What fetching an archive costs: curl, aria2c, plain httpx and `exportctl download`, one after the other, in rounds.

    python tests/bench/download.py [--size 1.5e9] [--rounds 3] [--delay MS] [--loss PERCENT] [--folder FOLDER]
                                   [--only nginx|ours]

Prints wall time, processor time and peak resident memory of each and their ratios to curl's, as medians, against nginx
(where it is installed) and against our own server. `exportctl` does what the others do not: it hashes, holds every
entry against its CRC and syncs the file to disk; the row "curl + sha256sum" is what that takes by hand, in part. The
issue that this came with promises 1.2 times curl's wall time, twice its processor time and 60 MB on loopback with 1.5
GB. `--delay` puts a proxy in between that holds every byte back for so many milliseconds, on each way; with `--loss` it
sends no faster than TCP does where so many segments of 1448 bytes are lost. Then some 50 MB are enough. `--folder` is
where all is written: on a memory disk the wire is measured, elsewhere the disk too. A benchmark, no test.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

from link import Link

ENTRY = 5_000_000
PROJECT, JOB = "7d1f0c2b-0000-4000-8000-000000000001", "6f0c2b7e-0000-4000-8000-000000000002"
PLAIN = """
import hashlib, sys
import httpx
digest = hashlib.sha256()
headers = dict(word.split(": ", 1) for word in sys.argv[3:])
with httpx.stream("GET", sys.argv[1], headers=headers, timeout=60) as answer, open(sys.argv[2], "wb") as file:
    for chunk in answer.iter_raw():
        digest.update(chunk)
        file.write(chunk)
"""
CONF = """
{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {folder}/root; default_type application/json;
              add_header Export-Protocol 2; }}
}}
"""


# A process of its own, since a child's peak is never less than that of who started it.
MEASURED = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - began
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps([process.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""


def measured(words, env):
    """Run a command; return its wall seconds, processor seconds and peak resident bytes (Linux: kilobytes)."""
    measured = subprocess.run(
        [sys.executable, "-S", "-c", MEASURED, *words], stdout=subprocess.PIPE, env=env, check=True
    )
    status, *took = json.loads(measured.stdout)
    if status:
        raise SystemExit(f"{words[0]} ended with {status}")
    return took


def contest(url, folder, rounds, headers=()):
    """Run every client in turn and print what each took."""
    extra = [word for header in headers for word in ("-H", header)]
    server, _, rest = url.partition("/api/projects/")
    project, _, job, _ = rest.split("/")
    out = folder / "out.zip"
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    ours = [sys.executable, "-m", "exportctl", "download", f"{project}/{job}", "--server", server, "-o", str(out)]
    clients = {"curl": ["curl", "-sS", "-o", str(out), *extra, url]}
    clients["curl + sha256sum"] = ["sh", "-c", 'curl -sS -o "$0" "$@" && sha256sum "$0"', str(out), *extra, url]
    if shutil.which("aria2c"):
        clients["aria2c"] = ["aria2c", "-q", "-x1", "--file-allocation=none", "-d", str(folder), "-o", out.name, url]
        clients["aria2c"] += [f"--header={header}" for header in headers]
    clients["plain httpx"] = [sys.executable, "-c", PLAIN, url, str(out), *headers]
    clients["exportctl"] = [*ours, "--progress", "none", "--no-state"]
    found = {name: [] for name in clients}
    for number in range(rounds + 1):
        for name, words in clients.items():
            out.unlink(missing_ok=True)
            os.sync()
            took = measured(words, env)
            if number:  # the first round only warms up
                found[name].append(took)
    out.unlink(missing_ok=True)
    print(f"load {os.getloadavg()[0]:.1f}")
    for name, rows in found.items():
        wall, cpu, resident = (statistics.median(column) for column in zip(*rows, strict=True))
        ratios = [
            statistics.median(one[at] / other[at] for one, other in zip(rows, found["curl"], strict=True))
            for at in (0, 1)
        ]
        print(
            f"{name:>17}: {wall:6.2f} s ({ratios[0]:4.2f}) · processor {cpu:5.2f} s ({ratios[1]:4.2f})"
            f" · {resident / 1e6:4.0f} MB"
        )


def wait_for(url, headers=()):
    """Return the JSON of `url` once it answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=5) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


def free_port():
    """Return a port that is free now."""
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def against_nginx(folder, size, rounds, path):
    """Serve an archive from nginx, dressed as a finished job."""
    place = folder / "root" / "api" / "projects" / PROJECT / "export" / JOB
    place.mkdir(parents=True)
    entry = os.urandom(ENTRY)
    with zipfile.ZipFile(place / "download", "w") as archive:
        for number in range(max(1, size // ENTRY)):
            archive.writestr(f"images/{number}.bin", entry)
    with (place / "download").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {"fileName": "n.zip", "fileSize": (place / "download").stat().st_size, "sha256": digest}
    said = {"id": JOB, "projectId": PROJECT, "projectName": "bench", "status": "completed", "archive": facts}
    (place / "status").write_text(json.dumps(said))
    port = free_port()
    (folder / "nginx.conf").write_text(CONF.format(folder=folder, port=port, user="" if os.geteuid() else "user root;"))
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/api/projects/{PROJECT}/export/{JOB}/status")
        if path:
            port = Link(port, **path).port
        url = f"http://127.0.0.1:{port}/api/projects/{PROJECT}/export/{JOB}/download"
        contest(url, folder, rounds)
    finally:
        nginx.terminate()
        nginx.wait()
        shutil.rmtree(folder / "root")


@contextlib.contextmanager
def finished(folder, size):
    """Let our server export a folder of pictures; yield its port, its token and the job, as PROJECT/JOB."""
    pictures = folder / "pictures"
    pictures.mkdir()
    side = 1288  # a multiple of four: rows of a BMP need no filling up
    pixels = os.urandom(3 * side * side)
    header = struct.pack("<2sL4xLLllHHLLllLL", b"BM", 54 + len(pixels), 54, 40, side, side, 1, 24, 0, *[0] * 5)
    (pictures / "0.bmp").write_bytes(header + pixels)
    count = max(1, size // ENTRY)
    for number in range(1, count):
        os.link(pictures / "0.bmp", pictures / f"{number}.bmp")
    square = [[10, 10, 90, 10, 90, 90, 10, 90]]
    (pictures / "annotations.json").write_text(
        json.dumps(
            {
                "images": [{"id": n, "file_name": f"{n}.bmp", "width": side, "height": side} for n in range(count)],
                "annotations": [
                    {"id": n + 1, "image_id": n, "category_id": 1, "segmentation": square} for n in range(count)
                ],
                "categories": [{"id": 1, "name": "cell"}],
            }
        )
    )
    port, token = free_port(), "a-token-for-the-benchmark-only"
    exportctl = [sys.executable, "-m", "exportctl"]
    env = {**os.environ, "EXPORTCTL_TOKEN": token, "EXPORTCTL_STATE": "off"}
    serve = [*exportctl, "serve", pictures, "--port", str(port), "--token", token, "--state", folder / "server"]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(f"{base}/api/health")
        plain = ["--no-visualizations", "--annotations", "none", "--metrics", "none", "--no-docs"]
        started = subprocess.run(
            [*exportctl, "start", "pictures", "--server", base, *plain, "-q"],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        )
        job = started.stdout.strip()
        subprocess.run([*exportctl, "follow", job, "--server", base, "-q"], env=env, check=True)
        yield port, token, job
    finally:
        server.terminate()
        server.wait()


def against_ours(folder, size, rounds, path):
    """Fetch what our server has made."""
    with finished(folder, size) as (port, token, job):
        way = Link(port, **path).port if path else port
        os.environ["EXPORTCTL_TOKEN"] = token
        project, job_id = job.split("/")
        url = f"http://127.0.0.1:{way}/api/projects/{project}/export/{job_id}/download"
        contest(url, folder, rounds, [f"Authorization: Bearer {token}"])


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=1.5e9, help="of the archive, in bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds on each way")
    parser.add_argument("--loss", type=float, default=0.0, help="of segments, in percent; goes with --delay")
    parser.add_argument("--folder", type=Path, help="where all is written")
    parser.add_argument("--only", choices=["nginx", "ours"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        for kind, run in (("nginx", against_nginx), ("ours", against_ours)):
            if asked.only not in {None, kind}:
                continue
            if kind == "nginx" and not shutil.which("nginx"):
                print("nginx is not installed: not measured")
                continue
            way = f", {asked.delay:g} ms each way" if asked.delay else ""
            way += f", {asked.loss:g} % lost" if asked.loss else ""
            print(f"against {kind}, {asked.size / 1e9:g} GB{way}:")
            place = Path(name) / kind
            place.mkdir()
            path = {"delay": asked.delay / 1000, "loss": asked.loss / 100} if asked.delay else {}
            run(place, int(asked.size), asked.rounds, path)


if __name__ == "__main__":
    main()
