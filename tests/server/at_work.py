"""Jobs at work: how far one has come, where its files lie, and who works on it."""

import multiprocessing

from server.conftest import make_endless

ENDS = {"export:completed", "export:failed", "export:cancelled"}
ALL = {"annotationFormats": ["coco", "yolo", "json"], "metricsFormats": ["excel", "csv", "json"]}


def job_folder(server, job_id):
    return server.settings.state / "jobs" / job_id


async def images_done(server, client, job_id, count):
    """Wait until at least `count` images are made; returns how many are."""
    seq = made = 0
    while made < count:
        params = {"after": seq, "wait": 20}
        for event in (await client.get(server.job_path(job_id) + "/events", params=params)).json()["events"]:
            seq = event["data"]["seq"]
            assert event["event"] not in ENDS
            if event["data"].get("stage") == "images":
                made = event["data"]["stageProgress"]["current"]
    return made


async def begin_endless(server, client):
    """Start a job of `many` and wait until it draws its last image, which never ends; returns the job's id."""
    job_id = await server.start(client, {"annotationFormats": [], "metricsFormats": []})
    await server.events_until(client, job_id, 1)
    make_endless(server, job_id, 599)
    await images_done(server, client, job_id, 599)
    return job_id


def worker_pids():
    return {process.pid for process in multiprocessing.active_children()}
