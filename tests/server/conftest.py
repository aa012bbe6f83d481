"""A real server on a loopback port, in the test's own loop or as the child process that commands start."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from exportctl.server.run import run
from exportctl.server.settings import Settings, projects_of

TOKEN, OTHER_TOKEN = "token-of-ana", "token-of-ben"


class Running:
    """A server that runs in this loop."""

    def __init__(self, url, settings):
        self.url = url
        self.settings = settings
        self.project = settings.projects[0]

    def client(self, token=TOKEN, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=60, **options)


@asynccontextmanager
async def serving(settings):
    """Run a server with these settings until the block ends."""
    ready, stop = asyncio.get_running_loop().create_future(), asyncio.Event()
    task = asyncio.create_task(run(settings, ready.set_result, stop))
    await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
    try:
        if ready.done():
            yield Running(ready.result(), settings)
    finally:
        stop.set()
        await task


@pytest.fixture
def settings_for(tmp_path):
    """Make settings for folders, the state in the test's own folder."""

    def make(*folders, **changes):
        known = {
            "tokens": {TOKEN: "ana", OTHER_TOKEN: "ben"},
            "state": tmp_path / "state",
            "projects": projects_of((Path(folder), None) for folder in folders),
            "workers": 2,
        }
        return Settings(**known | changes)

    return make


@pytest.fixture
def child():
    """Start `python -m exportctl.server` with a configuration; returns the process and its first line."""
    processes = []

    def start(configuration, **options):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "exportctl.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "default"},
            **options,
        )
        processes.append(process)
        process.stdin.write(json.dumps(configuration).encode() + b"\n")
        process.stdin.flush()
        return process, json.loads(process.stdout.readline() or b"null")

    yield start
    for process in processes:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
