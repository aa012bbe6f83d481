"""A server killed at any instant loses no event, tears no archive, and completes every job.

`EXPORTCTL_KILLS=N` kills it N times under several jobs, `EXPORTCTL_TEST_SEED` begins at another seed.
"""

import os
import random
import time

import httpx

from server.conftest import write_images
from server.stories import ALL, ENDED, check_story, contents

KILLS = int(os.environ.get("EXPORTCTL_KILLS", "2"))
SEED = int(os.environ.get("EXPORTCTL_TEST_SEED", "20261124"))
COUNT = 60


def test_killed_at_random_instants_it_loses_no_event_tears_no_archive_and_completes_every_job(child, tmp_path):
    print(f"EXPORTCTL_TEST_SEED={SEED}")  # noqa: T201 - how to repeat a failure
    chance = random.Random(SEED)
    many = write_images(tmp_path / "many", COUNT, size=400)
    configuration = {
        "token": "t",
        "user": "ana",
        "projects": [{"title": "Cells", "folder": str(many)}],
        "state": str(tmp_path / "state"),
        "workers": 2,
    }
    jobs, cancelled, known = [], set(), {}
    for life in range(KILLS + 1):
        process, said = child(configuration)
        with httpx.Client(
            base_url=said["url"], headers={"Authorization": "Bearer t"}, trust_env=False, timeout=60
        ) as client:
            project = client.get("/api/projects").json()["projects"][0]["id"]
            statuses = {job: client.get(f"/api/export/{job}").json()["status"] for job in jobs}
            assert "failed" not in statuses.values()
            running = [job for job in jobs if statuses[job] not in ENDED]
            if life == KILLS:
                break
            path = f"/api/projects/{project}/export"
            jobs += [client.post(path, json={"options": ALL}).json()["jobId"] for _ in range(3 - len(running))]
            time.sleep(chance.uniform(0, 1.5))  # any instant is right
            if chance.random() < 0.3:
                victim = chance.choice(jobs)
                answer = client.post(f"{path}/{victim}/cancel", json={}).json()
                if answer["status"] in {"cancelling", "cancelled"}:
                    cancelled.add(victim)
            for job in jobs:
                events = client.get(f"/api/export/{job}/events", params={"limit": 5000}).json()["events"]
                assert events[: len(known.get(job, []))] == known.get(job, [])
                known[job] = events
        process.kill()
        process.wait()
    whole = None
    with httpx.Client(
        base_url=said["url"], headers={"Authorization": "Bearer t"}, trust_env=False, timeout=60
    ) as client:
        for job in jobs:
            events = []
            while not events or events[-1]["event"].removeprefix("export:") not in ENDED:
                params = {"after": len(events), "wait": 20, "limit": 5000}
                events += client.get(f"/api/export/{job}/events", params=params).json()["events"]
            check_story(events)
            assert events[: len(known[job])] == known[job]
            folder = tmp_path / "state" / "jobs" / job
            if job in cancelled:
                assert events[-1]["event"] == "export:cancelled"
                assert not folder.exists()
                continue
            assert (events[-1]["event"], events[-1]["data"]["warnings"]) == ("export:completed", [])
            whole = whole or contents(folder / "archive.zip")
            assert contents(folder / "archive.zip") == whole
            answer = client.get(f"/api/export/{job}/download")
            assert len(answer.content) == events[-2]["data"]["fileSize"]
    assert whole is None or len(whole) == COUNT * 4 + 5
