"""A real server on a loopback port, in the test's own loop or as the child process that commands start."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from exportctl.server.run import run
from exportctl.server.settings import Settings, projects_of

TOKEN, OTHER_TOKEN = "token-of-ana", "token-of-ben"


class Running:
    """A server that runs in this loop."""

    def __init__(self, url, settings, stop):
        self.url = url
        self.stop = stop
        self.settings = settings
        self.project = settings.projects[0]

    async def start(self, client, options=None, **headers):
        """Start an export of the first project; returns the job's id."""
        path = f"/api/projects/{self.project.id}/export"
        answer = await client.post(path, json={"options": options or {}}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["jobId"]

    def job_path(self, job_id):
        return f"/api/projects/{self.project.id}/export/{job_id}"

    async def events(self, client, job_id, until=("completed", "failed", "cancelled")):
        """Follow a job by long polls until an event whose name ends so; returns all events."""
        seen = []
        while not seen or seen[-1]["event"].removeprefix("export:") not in until:
            after = seen[-1]["data"]["seq"] if seen else 0
            answer = await client.get(self.job_path(job_id) + "/events", params={"after": after, "wait": 20})
            seen += answer.json()["events"]
        return seen

    async def events_until(self, client, job_id, seq):
        """Wait until a job's log holds `seq` events, or the job has ended."""
        while True:
            params = {"after": max(seq - 1, 0), "wait": 20, "limit": 1}
            answer = (await client.get(self.job_path(job_id) + "/events", params=params)).json()
            if answer["lastSeq"] >= seq or answer["status"] in {"completed", "failed", "cancelled"}:
                return

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
            yield Running(ready.result(), settings, stop)
    finally:
        stop.set()
        await task


def write_images(folder, count, size=64):
    """Write small pictures, each with one square polygon in a COCO file."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"cell {number:04}.png"
        cv2.imwrite(str(folder / name), random.integers(0, 255, (size, size), np.uint8))
        images.append({"id": number, "file_name": name, "width": size, "height": size})
        square = [8, 8, 40, 8, 40, 40, 8, 40]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "segmentation": [square]})
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    (folder / "annotations.json").write_text(json.dumps(coco))
    return folder


def make_endless(server, job_id, index):
    """Let the drawing of an image never end: where its overlay is looked for lies a named pipe that nobody writes to.

    The job must have begun. Returns where the pipe is.
    """
    path = server.settings.state / "jobs" / job_id / "work-1" / "parts" / f"overlay-{index}.png"
    os.mkfifo(path)
    return path


@pytest.fixture
def cells(tmp_path):
    """A folder of twelve small pictures."""
    return write_images(tmp_path / "cells", 12)


@pytest.fixture
def many(tmp_path):
    """A folder of 600 pictures: so many that the last one is still to be made when the first event has come."""
    return write_images(tmp_path / "many", 600, size=400)


@pytest.fixture
def gate(tmp_path):
    """The gate of a job: there."""
    gate = tmp_path / "gate"
    gate.touch()
    return gate


@pytest.fixture
def folder(tmp_path):
    """Make an empty folder, to be made a project."""
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
async def server(settings_for, cells):
    """A server of one project, `cells`."""
    async with serving(settings_for(cells)) as running:
        yield running


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
