"""Jobs from start to end, however they end: one end, files gone before it is said, nothing lost by a restart."""

import asyncio
import errno
import random
from pathlib import Path

from exportctl.server import app
from exportctl.server.app import open_app
from exportctl.server.archive import ArchiveWriter
from exportctl.server.pool import Pool
from exportctl.server.sqlite_log import SqliteLog
from server.at_work import ALL, ENDS, begin_endless, images_done, job_folder, worker_pids
from server.conftest import OTHER_TOKEN, make_endless, serving, write_images
from server.pooling import holds


async def test_a_good_run_tells_its_story_in_order_and_every_stage_to_its_end(server):
    async with server.client() as client:
        job_id = await server.start(client, ALL)
        events = await server.events(client, job_id)
        names = [event["event"] for event in events]
        data = [event["data"] for event in events]
        assert names[0] == "export:started"
        assert names[-3:] == ["export:phase-changed", "export:download-ready", "export:completed"]
        assert set(names[1:-3]) == {"export:progress"}
        assert [item["seq"] for item in data] == list(range(1, len(events) + 1))
        assert {item["jobId"] for item in data} == {job_id}
        assert {item["projectId"] for item in data} == {server.project.id}
        assert (data[0]["total"], data[0]["cancellable"], data[0]["phase"]) == (12, True, "processing")
        progress = [item["progress"] for item in data[1:-3]]
        assert progress == sorted(progress)
        assert progress[-1] == 100
        last = {item["stage"]: item["stageProgress"] for item in data[1:-3]}
        assert set(last) == {"images", "visualizations", "annotations", "metrics", "compression"}
        assert all(state["current"] == state["total"] for state in last.values())
        for item in data[1:-3]:
            state = item["stageProgress"]
            assert item["template"] == f"export.stage.{item['stage']}"
            assert item["data"] == {
                "current": state["current"],
                "total": state["total"],
                "fileName": state["item"] or "",
            }
            assert f"({state['current']}/{state['total']})" in item["message"]
        visualizations = next(item for item in reversed(data) if item.get("stage") == "visualizations")
        assert visualizations["message"] == f"Generating visualizations (12/12): {visualizations['data']['fileName']}"
        assert data[-1]["processingTime"] > 0
        assert set(data[-1]["stages"]) >= {"visualizations", "annotations", "metrics", "compression"}
    await holds(lambda: [path.name for path in job_folder(server, job_id).iterdir()] == ["archive.zip"])


async def test_a_cancelled_jobs_files_are_gone_before_it_is_said(settings_for, many):
    async with serving(settings_for(many)) as server, server.client() as client:
        job_id = await server.start(client, ALL)
        await images_done(server, client, job_id, 10)
        assert job_folder(server, job_id).exists()
        for _ in range(2):
            answer = await client.post(server.job_path(job_id) + "/cancel", json={"reason": "enough"})
            assert (answer.status_code, answer.json()["success"]) == (200, True)
        end = (await server.events(client, job_id))[-1]
        assert not job_folder(server, job_id).exists()
        assert end["event"] == "export:cancelled"
        assert (end["data"]["cancelledBy"], end["data"]["reason"]) == ("user", "enough")
        assert end["data"]["cleanupCompleted"] is True
        assert end["data"]["progress"] > 0
        status = (await client.get(f"/api/export/{job_id}")).json()
        assert (status["status"], status["lastSeq"]) == ("cancelled", end["data"]["seq"])
        gone = await client.get(server.job_path(job_id) + "/download")
        assert (gone.status_code, gone.json()["code"]) == (409, "NOT_COMPLETED")


async def test_a_cancel_ends_a_task_that_would_never_end_and_frees_its_worker(settings_for, many):
    async with serving(settings_for(many)) as server, server.client() as client:
        job_id = await begin_endless(server, client)
        workers = worker_pids()
        await client.post(server.job_path(job_id) + "/cancel", json={})
        end = (await server.events(client, job_id))[-1]
        assert (end["event"], end["data"]["cleanupCompleted"]) == ("export:cancelled", True)
        assert not job_folder(server, job_id).exists()
        await holds(lambda: not workers & worker_pids())
        again = await server.start(client)
        assert (await server.events(client, again))[-1]["event"] == "export:completed"


async def test_another_jobs_work_survives_a_cancellation_that_costs_the_workers(settings_for, many, cells):
    async with serving(settings_for(many, cells)) as server, server.client() as client:
        job_id = await begin_endless(server, client)
        others = [
            (await client.post(f"/api/projects/{project.id}/export", json={"options": ALL})).json()["jobId"]
            for project in server.settings.projects[1:] * 3
        ]
        await client.post(server.job_path(job_id) + "/cancel", json={})
        assert (await server.events(client, job_id))[-1]["event"] == "export:cancelled"
        for other in others:
            end = {}
            while end.get("status") not in {"completed", "failed"}:
                end = (await client.get(f"/api/export/{other}/events", params={"after": 10**6 - 1, "wait": 1})).json()
            assert end["status"] == "completed"


async def test_a_users_long_jobs_keep_no_other_user_waiting(settings_for, cells, many):
    async with (
        serving(settings_for(many, cells, workers=3)) as server,
        server.client() as client,
        server.client(OTHER_TOKEN) as other,
    ):
        jobs = [await server.start(client) for _ in range(2)]
        for job_id in jobs:
            await server.events_until(client, job_id, 1)
            make_endless(server, job_id, 599)
        jobs += [await server.start(client) for _ in range(20)]
        path = f"/api/projects/{server.settings.projects[1].id}/export"
        theirs = (await other.post(path, json={"options": ALL})).json()["jobId"]
        while (status := (await other.get(f"/api/export/{theirs}")).json()["status"]) in {"pending", "processing"}:
            pass
        assert status == "completed"
        assert (await client.get(f"/api/export/{jobs[-1]}")).json()["status"] == "pending"


async def test_a_job_that_waits_for_its_turn_is_cancelled_at_once(settings_for, cells):
    async with serving(settings_for(cells, jobs_at_once=0)) as server, server.client() as client:
        job_id = await server.start(client)
        assert (await client.get(f"/api/export/{job_id}")).json()["status"] == "pending"
        await client.post(server.job_path(job_id) + "/cancel", json={})
        events = await server.events(client, job_id)
        assert [event["event"] for event in events] == ["export:cancelled"]


async def test_cancels_that_race_with_the_end_leave_one_end_and_what_it_says(settings_for, cells):
    chance = random.Random(3)
    async with serving(settings_for(cells)) as server, server.client() as client:
        ends = set()
        for _ in range(12):
            job_id = await server.start(client)
            await server.events_until(client, job_id, chance.choice([0, 1, 3, 5, 7, 8, 9]))
            await client.post(server.job_path(job_id) + "/cancel", json={})
            events = await server.events(client, job_id)
            names = [event["event"] for event in events]
            assert sum(name in ENDS for name in names) == 1
            ends.add(names[-1])
            download = await client.get(server.job_path(job_id) + "/download")
            assert download.status_code == (200 if names[-1] == "export:completed" else 409)
            assert job_folder(server, job_id).exists() == (names[-1] == "export:completed")
            later = await client.get(server.job_path(job_id) + "/events", params={"after": len(events), "wait": 0})
            assert later.json()["events"] == []
        assert "export:cancelled" in ends


async def test_a_full_disk_fails_the_job_in_words_and_frees_what_it_took(server, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/secret")

    monkeypatch.setattr(ArchiveWriter, "append_file", full)
    async with server.client() as client:
        job_id = await server.start(client)
        end = (await server.events(client, job_id))[-1]
        assert end["event"] == "export:failed"
        assert (end["data"]["code"], end["data"]["retryable"]) == ("DISK_FULL", True)
        assert end["data"]["hint"]
        assert not job_folder(server, job_id).exists()
        status = (await client.get(f"/api/export/{job_id}")).json()
        assert (status["status"], status["error"]["code"]) == ("failed", "DISK_FULL")
        monkeypatch.undo()
        again = await server.start(client)
        assert (await server.events(client, again))[-1]["event"] == "export:completed"


async def test_an_export_of_nothing_is_refused_in_words(settings_for, tmp_path, cells):
    (tmp_path / "empty").mkdir()
    async with serving(settings_for(tmp_path / "empty", cells)) as server, server.client() as client:
        empty, full = server.settings.projects
        for project, options, code in [
            (empty, {}, "PROJECT_EMPTY"),
            (full, {"selectedImageIds": ["nope.png"]}, "IMAGE_NOT_FOUND"),
        ]:
            answer = await client.post(f"/api/projects/{project.id}/export", json={"options": options})
            assert (answer.status_code, answer.json()["code"]) == (422, code)
            assert answer.json()["hint"]
            assert str(tmp_path) not in answer.text


async def test_nothing_that_is_told_names_a_place_on_this_machine(settings_for, cells, tmp_path):
    (cells / "cell 0003.png").write_bytes(b"no picture")
    (cells / "cell 0004.png").write_bytes((cells / "cell 0004.png").read_bytes()[:200])
    async with serving(settings_for(cells)) as server, server.client() as client:
        job_id = await server.start(client)
        assert len((await server.events(client, job_id))[-1]["data"]["warnings"]) >= 2
        for path in ("/events", "/status"):
            told = await client.get(server.job_path(job_id) + path)
            assert str(tmp_path) not in told.text
            assert "Traceback" not in told.text


async def test_an_end_that_cannot_be_logged_is_logged_as_soon_as_it_can_be(settings_for, cells, monkeypatch):
    refused, append = [], SqliteLog.append

    async def refusing(log, record, name, data):
        if name == "export:cancelled" and len(refused) < 3:
            refused.append(name)
            raise OSError(errno.EROFS, "read-only file system")
        return await append(log, record, name, data)

    monkeypatch.setattr(SqliteLog, "append", refusing)
    monkeypatch.setattr("exportctl.server.engine._AGAIN", 0)
    async with serving(settings_for(cells, jobs_at_once=0)) as server, server.client() as client:
        job_id = await server.start(client)
        await client.post(server.job_path(job_id) + "/cancel")
        events = await server.events(client, job_id)
    assert [event["event"] for event in events if event["event"] in ENDS] == ["export:cancelled"]
    assert len(refused) == 3


async def test_a_job_is_cancelled_on_a_disk_that_takes_nothing_away_too(settings_for, tmp_path, monkeypatch):
    unlink, folder = Path.unlink, write_images(tmp_path / "some", 300)

    def refusing(path, **options):
        if path.name == "gate":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        unlink(path, **options)

    async with serving(settings_for(folder)) as server, server.client() as client:
        job_id = await server.start(client)
        await images_done(server, client, job_id, 10)
        monkeypatch.setattr(Path, "unlink", refusing)
        await client.post(server.job_path(job_id) + "/cancel")
        assert (await server.events(client, job_id))[-1]["event"] == "export:cancelled"
        monkeypatch.undo()
        assert (await server.events(client, await server.start(client)))[-1]["event"] == "export:completed"


async def test_a_server_ends_though_its_workers_never_start(settings_for, cells, monkeypatch):
    async def never(_pool):
        await asyncio.Event().wait()

    monkeypatch.setattr(Pool, "warm", never)
    monkeypatch.setattr(app, "_STARTING", 0.01)
    settings = settings_for(cells)
    settings.state.mkdir(parents=True, exist_ok=True)
    async with asyncio.timeout(30), open_app(settings) as built:
        assert built is not None
