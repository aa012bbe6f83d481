"""Jobs at work: how far one has come, where its files lie, and who works on it."""

import multiprocessing

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


def worker_pids():
    return {process.pid for process in multiprocessing.active_children()}
