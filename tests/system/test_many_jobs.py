"""Many jobs in one command: a result each, the statuses as one, on few connections. `EXPORTCTL_MANY` says how many."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import httpx
import pytest

from system.processes import end_of, until
from system.telling import stories

MANY = int(os.environ.get("EXPORTCTL_MANY", "25"))
FEW = 48
"""Descriptors of a command that follows many jobs, however many: its own and some connections."""
NOBODYS = "00000000-0000-4000-8000-000000000000"
QUICK = {
    "includeOriginalImages": True,
    "includeVisualizations": False,
    "annotationFormats": [],
    "metricsFormats": [],
    "includeDocumentation": False,
}


@pytest.fixture
def tiny(tmp_path):
    """A project of one small image."""
    import cv2  # noqa: PLC0415 - only these tests need it
    import numpy as np  # noqa: PLC0415 - as said

    folder = tmp_path / "tiny"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((32, 32, 3), np.uint8))
    return folder


def start_many(served, count):
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {served.token}"}, timeout=60) as http:
        [project] = http.get("/api/projects").json()["projects"]
        path = f"/api/projects/{project['id']}/export"
        jobs = [http.post(path, json={"options": QUICK}).json()["jobId"] for _ in range(count)]
        return project["id"], jobs


@pytest.mark.parametrize("transport", ["auto", "polling"])
def test_many_jobs_are_followed_in_one_command_on_few_connections(exportctl, serve, tiny, transport):
    served = serve(tiny, "--jobs-per-user", 10 * MANY, "--workers", 1)
    project, jobs = start_many(served, MANY)
    named = [f"{project}/{job}" for job in (*jobs[:3], NOBODYS, *jobs[3:])]
    open_ones = [0]
    with exportctl.start(
        "follow", *named, *served.options, "--transport", transport, "--progress", "none", "--events", "lines.ndjson"
    ) as following:

        def is_over():
            with contextlib.suppress(OSError):
                open_ones.append(len(list(Path(f"/proc/{following.pid}/fd").iterdir())))
            return following.poll() is not None

        until(is_over, "the end of all", 300)
        ended = end_of(following, 10, transport)
    ended.stdout = (exportctl.folder / "lines.ndjson").read_bytes()
    assert ended.status == 5
    results = {line["jobId"]: line["exitCode"] for line in ended.lines if line["event"] == "result"}
    assert results == dict.fromkeys(jobs, 0) | {NOBODYS: 5}
    told = stories(ended)
    assert set(told) == set(jobs)
    for story in told.values():
        assert [line["serverSeq"] for line in story] == list(range(1, len(story) + 1))
        assert story[-1]["event"] == "export:completed"
    states = Counter(line["state"] for line in ended.lines if line["event"] == "connection:changed")
    assert states["connected"] == (transport == "auto")
    assert 0 < max(open_ones) <= FEW


@pytest.mark.parametrize("command", ["follow", "cancel"])
def test_a_job_that_is_named_twice_is_told_once(exportctl, serve, tiny, command):
    served = serve(tiny, "--workers", 1)
    project, [job] = start_many(served, 1)
    twice = (f"{project}/{job}", job[:12])
    ended = exportctl.run(command, *twice, *served.options, "--no-state", "--ndjson", "--progress", "none")
    assert ended.status == 0, ended.stderr
    results = [(line["jobId"], line["exitCode"]) for line in ended.lines if line["event"] == "result"]
    assert results == [(job, 0)]
