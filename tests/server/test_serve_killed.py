"""A server of several users with a queue, it or its workers killed at any instant: every job has its one end, its own.

`EXPORTCTL_KILLS=N` kills N times, `EXPORTCTL_TEST_SEED` begins at another seed.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from server.conftest import write_images
from server.stories import ALL, ENDED, check_story, contents

KILLS = int(os.environ.get("EXPORTCTL_KILLS", "2"))
SEED = int(os.environ.get("EXPORTCTL_TEST_SEED", "20261124"))
COUNT = 24
USERS = ("token-of-ana", "token-of-ben", "token-of-eva")
LIMIT = 4
WORKERS = 2
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


@contextmanager
def served(folder, state, log):
    """Serve the folder until the block ends, which may kill the process; yields it and its URL."""
    words = ["serve", folder, "--port", "0", "--state", state, "--workers", WORKERS, "--jobs-per-user", str(LIMIT)]
    tokens = [word for token in USERS for word in ("--token", token)]
    process = subprocess.Popen(
        [sys.executable, "-m", "exportctl", *map(str, words), *tokens, "--log-format", "json", "--log-level", "info"],
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "HOME": str(state)},
    )
    try:
        yield process, process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def client_of(url, token):
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60)


def load(url, token, chance, jobs, known):
    """Do what a user may do in a moment: start, look, read, cancel; note what the server promised."""
    with client_of(url, token) as client:
        project = client.get("/api/projects").json()["projects"][0]["id"]
        path = f"/api/projects/{project}/export"
        for number in range(chance.randrange(1, 4)):
            key = f"{len(jobs)}-{number}-{chance.random()}"
            answer = client.post(path, json={"options": ALL}, headers={"Idempotency-Key": key})
            if answer.status_code == 429:
                assert int(answer.headers["Retry-After"]) > 0
                break
            again = client.post(path, json={"options": ALL}, headers={"Idempotency-Key": key})
            assert again.json()["jobId"] == answer.json()["jobId"]
            jobs[answer.json()["jobId"]] = token
        mine = [job for job, owner in jobs.items() if owner == token]
        for job in mine:
            events = client.get(f"/api/export/{job}/events", params={"limit": 5000}).json()["events"]
            assert events[: len(known.get(job, []))] == known.get(job, []), "what was told once stays so"
            known[job] = events
        if mine and chance.random() < 0.2:
            client.post(f"{path}/{chance.choice(mine)}/cancel", json={}).raise_for_status()
        for job, owner in jobs.items():
            if owner != token:
                assert client.get(f"/api/export/{job}").status_code == 404


def prepared(folder):
    """Say how to repeat a failure; returns the campaign's chance, its images and its state folder."""
    print(f"EXPORTCTL_TEST_SEED={SEED}")  # noqa: T201 - it is shown with a failure
    state = folder / "state"
    state.mkdir()
    return random.Random(SEED), write_images(folder / "many", COUNT, size=400), state


def test_killed_under_users_and_a_queue_it_loses_no_job_no_event_and_no_archive(tmp_path):
    chance, many, state = prepared(tmp_path)
    jobs, known = {}, {}
    with (tmp_path / "log").open("wb") as log:
        for _ in range(KILLS):
            with served(many, state, log) as (process, url):
                assert url.startswith("http://"), (tmp_path / "log").read_text()
                for token in chance.sample(USERS, 3):
                    load(url, token, chance, jobs, known)
                    if chance.random() < 0.3:
                        break
                time.sleep(chance.uniform(0, 1))  # any instant is right
                process.send_signal(signal.SIGKILL)
                process.wait()
        with served(many, state, log) as (_, url):
            check_all(url, jobs, known, state)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert '"level": "error"' not in (tmp_path / "log").read_text()


@pytest.mark.skipif(not CHILDREN.exists(), reason="Linux tells whose children processes are")
def test_its_workers_killed_at_any_instant_it_loses_no_image_and_warns_of_none(tmp_path):
    chance, many, state = prepared(tmp_path)
    jobs, known = {}, {}
    with (tmp_path / "log").open("wb") as log, served(many, state, log) as (process, url):
        for _ in range(KILLS):
            for token in USERS:
                load(url, token, chance, jobs, known)
            # Behind what the last one cost: twice killed, an image is named. What is tried again is tried alone.
            before = pool_when(url, lambda pool: pool["running"] > 1 or pool["running"] + pool["waiting"] == 0)
            time.sleep(chance.uniform(0, 0.5))  # any instant is right
            victims = chance.choice([one_worker, all_workers, forker, all_of_them])(process.pid)
            assert victims
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            lost = before["lost"]
            pool_when(url, lambda pool: pool["lost"] > lost)  # noqa: B023 - it is asked at once
        check_all(url, jobs, known, state)
        assert len(all_workers(process.pid)) <= WORKERS
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert '"level": "error"' not in (tmp_path / "log").read_text()


def children(pid):
    """Return the children of a process, if it is there: each belongs to the thread that began it."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def forker(server):
    """Return the process that workers are forked from: of the server's children the one that forks."""
    return [pid for pid in children(server) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def all_workers(server):
    return [worker for pid in forker(server) for worker in children(pid)]


def one_worker(server):
    return all_workers(server)[:1]


def all_of_them(server):
    return forker(server) + all_workers(server)


def pool_when(url, condition):
    """Wait until the pool is so, and say how it is; it does not do without workers for long."""
    with client_of(url, USERS[0]) as client:
        for _ in range(3000):
            pool = client.get("/api/health").json()["parts"]["pool"]
            if pool["status"] == "healthy" and condition(pool):
                return pool
            time.sleep(0.01)
    raise AssertionError(f"never so: {pool}")


def check_all(url, jobs, known, state):
    """Follow every job to its end and hold it against what was known of it, and its files against its end."""
    whole, kept = None, set()
    for job, token in jobs.items():
        events = []
        with client_of(url, token) as client:
            while not events or events[-1]["event"].removeprefix("export:") not in ENDED:
                params = {"after": len(events), "wait": 20, "limit": 5000}
                events += client.get(f"/api/export/{job}/events", params=params).json()["events"]
            assert events[: len(known.get(job, []))] == known.get(job, [])
            folder = state / "jobs" / job
            if events[-1]["event"] == "export:cancelled":
                assert not folder.exists()
                continue
            check_story(events)
            assert (events[-1]["event"], events[-1]["data"]["warnings"]) == ("export:completed", [])
            kept.add(job)
            whole = whole or contents(folder / "archive.zip")
            assert contents(folder / "archive.zip") == whole
            fetched = client.get(f"/api/export/{job}/download")
            assert len(fetched.content) == events[-2]["data"]["fileSize"]
    assert {folder.name for folder in (state / "jobs").iterdir()} == kept
