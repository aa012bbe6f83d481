"""The official Node implementations, installed and started for the tests that compare with them.

Without node or npm these tests are skipped, and the reason says so; where both are there, CI may not pass without them.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node():
    """The path of node, with the packages of `package-lock.json` installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on PATH")
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two runs in one checkout must not install at once
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
            if run.returncode:
                fail = pytest.fail if os.environ.get("CI") else pytest.skip
                fail(f"npm ci failed: {run.stderr[-500:]}")
            installed.touch()
    return node


@pytest.fixture(scope="session")
def node_server(node):
    """The port of an official Socket.IO server; see `node/server.mjs` for what it does."""
    command = [node, str(HERE / "server.mjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def node_parser(node):
    """Ask the official parsers: `node_parser(operation, argument)`; an error there is a ValueError here."""
    command = [node, str(HERE / "parser.mjs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8") as process:

        def ask(operation, argument):
            print(json.dumps({"operation": operation, "argument": bare(argument)}), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline())
            if "error" in answer:
                raise ValueError(answer["error"])
            return full(answer["result"])

        try:
            yield ask
        finally:
            process.terminate()


def bare(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [bare(inner) for inner in value]
    return value


def full(value):
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {key: full(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [full(inner) for inner in value]
    return value
