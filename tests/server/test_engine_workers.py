"""Jobs whose workers are killed or hang: one image is named at the most, and everything else is exported."""

import os
import signal
import zipfile

import pytest

from exportctl.server.pool import Pool
from server import pool_tasks
from server.at_work import ALL, begin_endless, images_done, job_folder, worker_pids
from server.conftest import serving, write_images


@pytest.fixture
def looking(monkeypatch):
    """The pools of servers, which a test has look after their workers."""
    pools = []

    async def watch(pool):
        pools.append(pool)

    monkeypatch.setattr(Pool, "watch", watch)
    return pools


async def tries_again(client):
    """Wait until the workers were lost, and the others have the task."""
    pool = {}
    while (pool.get("lost"), pool.get("running")) != (1, 1):
        pool = (await client.get("/api/health")).json()["parts"]["pool"]


async def test_a_killed_worker_costs_time_and_nothing_else(settings_for, tmp_path):
    folder = write_images(tmp_path / "larger", 240, size=600)
    async with serving(settings_for(folder)) as server, server.client() as client:
        whole = await server.start(client, ALL)
        await server.events(client, whole)
        job_id = await server.start(client, ALL)
        count = 0
        for _ in range(3):
            # So far apart that no second kill hits what the first one had tried again.
            count = await images_done(server, client, job_id, count + 20)
            os.kill(worker_pids().pop(), signal.SIGKILL)
        end = (await server.events(client, job_id))[-1]
        assert (end["event"], end["data"]["warnings"]) == ("export:completed", [])
        names = [sorted(zipfile.ZipFile(job_folder(server, one) / "archive.zip").namelist()) for one in (whole, job_id)]
        assert names[0] == names[1]
        assert len(set(names[1])) == len(names[1])


async def test_an_image_that_kills_its_worker_twice_is_named_and_all_others_are_drawn(settings_for, many):
    async with serving(settings_for(many)) as server, server.client() as client:
        job_id = await begin_endless(server, client)
        first = worker_pids()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        await tries_again(client)
        for pid in worker_pids() - first:
            os.kill(pid, signal.SIGKILL)
        end = (await server.events(client, job_id))[-1]
        assert end["event"] == "export:completed"
        [warning] = end["data"]["warnings"]
        assert warning.startswith("cell 0600.png: its worker process died twice")
        names = zipfile.ZipFile(job_folder(server, job_id) / "archive.zip").namelist()
        assert sum(name.startswith("visualizations/") for name in names) == 599
        assert sum(name.startswith("images/") for name in names) == 600


async def test_an_image_that_is_worked_on_for_too_long_is_named_and_all_others_are_drawn(settings_for, many, looking):
    async with serving(settings_for(many, image_seconds=900)) as server, server.client() as client:
        job_id = await begin_endless(server, client)
        looking[0].look(901)
        end = (await server.events(client, job_id))[-1]
        [warning] = end["data"]["warnings"]
        assert warning.startswith("cell 0600.png: drawing it took longer than 15 minutes, and was ended; its bytes are")
        names = zipfile.ZipFile(job_folder(server, job_id) / "archive.zip").namelist()
        assert sum(name.startswith("visualizations/") for name in names) == 599
        assert sum(name.startswith("images/") for name in names) == 600


async def test_a_project_that_is_read_for_too_long_fails_the_export_in_words(settings_for, cells, looking, monkeypatch):
    async with serving(settings_for(cells, image_seconds=900)) as server, server.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr("exportctl.server.pipeline.plan_export", pool_tasks.read_for_ever)
            job_id = await server.start(client)
            while looking[0].counts()["running"] == 0:
                await client.get("/api/health")
        looking[0].look(900)
        looking[0].look(900 * 15 + 1)
        end = (await server.events(client, job_id))[-1]["data"]
        assert (end["code"], end["retryable"]) == ("TASK_TOO_LONG", True)
        assert end["error"] == "A step of the export took longer than 4 hours, and was ended"
        assert "--image-minutes" in end["hint"]
        again = await server.start(client)
        assert (await server.events(client, again))[-1]["event"] == "export:completed"
