"""A server that ends loses nothing: the next one on its state goes on where it was, or says why it cannot."""

import asyncio
import json
import os
import shutil
import sqlite3
import zipfile

import pytest

from exportctl.server.cursor import Cursor
from exportctl.server.log import LogUnusableError
from exportctl.server.pool import Pool
from exportctl.server.preconditions import StartError
from exportctl.server.sqlite_log import SqliteLog
from server.conftest import OTHER_TOKEN, make_endless, serving, write_images
from server.stories import ALL, check_story, contents


@pytest.fixture
def many(tmp_path):
    # Enough that the last ones are still to be made when the server that began has ended.
    return write_images(tmp_path / "many", 200, size=400)


async def half_done(server, client, options=ALL):
    """Start a job and return when a good part of its images is done: its id, and the events so far."""
    job_id = await server.start(client, options)
    seen = []
    while not any(item["data"].get("progress", 0) > 15 for item in seen):
        params = {"after": len(seen), "wait": 20}
        seen += (await client.get(server.job_path(job_id) + "/events", params=params)).json()["events"]
        assert seen[-1]["event"] == "export:started" or "progress" in seen[-1]["event"]
    return job_id, seen


async def one_whole_one_half_done(server, client):
    """Have a job to compare with done first: its id, and what `half_done` returns."""
    whole = await server.start(client, ALL)
    await server.events(client, whole)
    return whole, *await half_done(server, client)


def archive_of(server, job_id):
    return server.settings.state / "jobs" / job_id / "archive.zip"


async def test_a_job_of_a_stopped_server_goes_on_with_the_bytes_it_had(settings_for, many):
    settings = settings_for(many)
    async with serving(settings) as server, server.client() as client:
        whole, job_id, seen = await one_whole_one_half_done(server, client)
    begun = archive_of(server, job_id).read_bytes()
    async with serving(settings) as server, server.client() as client:
        events = await server.events(client, job_id)
        assert events[: len(seen)] == seen
        check_story(events)
        assert events[-1]["event"] == "export:completed"
        assert events[-1]["data"]["processingTime"] > 0
        assert archive_of(server, job_id).read_bytes().startswith(begun), "finished images are not made again"
        assert contents(archive_of(server, job_id)) == contents(archive_of(server, whole))
        path = server.job_path(job_id) + "/download"
        answer = await client.get(path)
        assert answer.content == archive_of(server, job_id).read_bytes()


async def test_whoever_read_along_goes_on_behind_what_they_have(settings_for, many):
    settings = settings_for(many)
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await half_done(server, client)
        path = server.job_path(job_id) + "/download?live=1&offset="
        async with client.stream("GET", f"{path}0") as answer:
            had = await anext(answer.aiter_raw())
    async with serving(settings) as server, server.client() as client:
        while True:
            async with client.stream(
                "GET", f"{path}{len(had)}", headers={"If-Match": answer.headers["ETag"]}
            ) as going_on:
                assert going_on.status_code in {200, 503}
                if going_on.status_code == 200:
                    had += b"".join([chunk async for chunk in going_on.aiter_raw()])
                    break
        assert had == archive_of(server, job_id).read_bytes()


async def test_whoever_waits_for_news_of_a_server_that_stops_is_told_to_ask_again(settings_for, cells, monkeypatch):
    is_waiting, usual = asyncio.Event(), Cursor.wait

    async def wait(self, seconds):
        is_waiting.set()
        return await usual(self, seconds)

    async def never(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(Cursor, "wait", wait)
    monkeypatch.setattr(Pool, "run", never)
    async with serving(settings_for(cells)) as server, server.client() as client:
        path = server.job_path(await server.start(client)) + "/events"
        polling = asyncio.create_task(client.get(path, params={"wait": 30}))
        await is_waiting.wait()
        server.stop.set()
        answer = await polling
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVER_STOPPING")
    assert (answer.headers["Retry-After"], answer.headers["Export-Protocol"]) == ("1", "2")


async def test_two_servers_never_work_on_one_state_folder(settings_for, cells):
    async with serving(settings_for(cells)) as server:
        with pytest.raises(StartError) as refused:
            async with serving(settings_for(cells)):
                pass
        assert (refused.value.code, refused.value.hint) == (
            "STATE_IN_USE",
            "Give each server a state folder of its own (--state)",
        )
        async with server.client() as client:
            job_id = await server.start(client)
            assert (await server.events(client, job_id))[-1]["event"] == "export:completed"


async def test_an_overlay_that_was_drawn_but_not_in_the_archive_is_not_drawn_again(settings_for, many):
    settings = settings_for(many)
    async with serving(settings) as server, server.client() as client:
        job_id, _ = await half_done(server, client)
    [parts] = archive_of(server, job_id).parent.glob("work-*/parts")
    drawn = parts / "overlay-199.png"
    assert not drawn.exists()
    mark = b"\x89PNG as if it were drawn" + b"IEND\xaeB`\x82"
    drawn.write_bytes(mark)
    (parts / "overlay-198.png").write_bytes(b"\x89PNG torn")
    async with serving(settings) as server, server.client() as client:
        await server.events(client, job_id)
    with zipfile.ZipFile(archive_of(server, job_id)) as archive:
        assert archive.read("visualizations/cell 0200.png") == mark
        assert archive.read("visualizations/cell 0199.png").startswith(b"\x89PNG\r\n")


async def test_rows_that_the_failing_power_took_are_measured_again(settings_for, many):
    settings = settings_for(many)
    async with serving(settings) as server, server.client() as client:
        whole, job_id, _ = await one_whole_one_half_done(server, client)
    [parts] = archive_of(server, job_id).parent.glob("work-*/parts")
    first, second, *_ = sorted(parts.glob("rows-*.jsonl"))
    os.truncate(first, 0)
    os.truncate(second, second.stat().st_size // 2)
    async with serving(settings) as server, server.client() as client:
        assert (await server.events(client, job_id))[-1]["event"] == "export:completed"
    assert contents(archive_of(server, job_id)) == contents(archive_of(server, whole))


@pytest.mark.parametrize("harm", ["a byte", "the end", "the ledger", "the ledger's end"])
async def test_an_archive_that_is_not_as_the_ledger_says_is_made_anew_under_another_name(settings_for, many, harm):
    settings = settings_for(many)
    async with serving(settings) as server, server.client() as client:
        job_id, seen = await half_done(server, client)
        making = record_of(server, job_id)["making"]
    path = archive_of(server, job_id)
    ledger = path.parent / "ledger"
    match harm:
        case "a byte":
            with path.open("r+b") as file:
                file.seek(1000)
                file.write(b"?")
        case "the end":
            os.truncate(path, path.stat().st_size - 10)
        case "the ledger":
            ledger.unlink()
        case _:
            os.truncate(ledger, ledger.stat().st_size - 10)
    async with serving(settings) as server, server.client() as client:
        events = await server.events(client, job_id)
        check_story(events)
        assert events[: len(seen)] == seen
        assert events[-1]["event"] == "export:completed"
        assert len(contents(path)) == 200 * 4 + 5
        answer = await client.get(server.job_path(job_id) + "/download")
        assert answer.content == path.read_bytes()
        assert answer.headers["ETag"] != f'"{making}"'


def record_of(server, job_id):
    """Read a job's record from the log itself: nobody is told the ETag of an archive that is not ready."""
    with sqlite3.connect(server.settings.state / "events.sqlite3") as db:
        [stored] = db.execute("SELECT record FROM jobs WHERE id = ?", (job_id,)).fetchone()
    db.close()
    return json.loads(stored)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("changed", ("PROJECT_CHANGED", True)),
        ("emptied", ("PROJECT_EMPTY", False)),
        ("not served", ("PROJECT_NOT_SERVED", True)),
        ("no plan", ("SERVER_RESTARTED", True)),
    ],
)
async def test_a_project_that_is_another_one_by_now_ends_the_job_in_words(settings_for, many, cells, harm, told):
    async with serving(settings_for(many, cells)) as server, server.client() as client:
        job_id, seen = await half_done(server, client)
    match harm:
        case "changed":
            (many / "cell 0200.png").write_bytes((many / "cell 0199.png").read_bytes())
        case "emptied":
            shutil.rmtree(many)
            many.mkdir()
        case "no plan":
            next(archive_of(server, job_id).parent.glob("work-*/plan")).unlink()
    folders = (cells,) if harm == "not served" else (many, cells)
    async with serving(settings_for(*folders)) as again, again.client() as client:
        events = []
        while not events or events[-1]["event"] not in {"export:failed", "export:completed"}:
            params = {"after": len(events), "wait": 20}
            events += (await client.get(f"/api/export/{job_id}/events", params=params)).json()["events"]
        assert events[-1]["event"] == "export:failed"
        assert events[: len(seen)] == seen
        check_story(events)
        end = events[-1]["data"]
        assert (end["code"], end["retryable"]) == told
        assert end["hint"]
        assert str(many) not in json.dumps(end)
        while 'exportctl_jobs_ended_total{status="failed"} 1.0' not in (await client.get("/metrics")).text:
            pass
        assert not archive_of(server, job_id).parent.exists()


async def test_jobs_that_waited_keep_their_turn_and_a_cancelled_one_stays_cancelled(settings_for, many, cells):
    settings = settings_for(cells, many, jobs_at_once=1)
    async with serving(settings) as server, server.client() as client:
        path = f"/api/projects/{server.settings.projects[1].id}/export"
        running = (await client.post(path, json={})).json()["jobId"]
        await client.get(f"/api/export/{running}/events", params={"wait": 20})
        make_endless(server, running, 199)
        waiting = [await server.start(client) for _ in range(3)]
        async with server.client(OTHER_TOKEN) as other:
            theirs = await server.start(other)
        answer = await client.post(server.job_path(waiting[1]) + "/cancel", json={"reason": "enough"})
        assert answer.json()["status"] == "cancelling"
    for job_id in (running, waiting[0]):
        note_a_cancellation(server, job_id)
    async with serving(settings) as server, server.client() as client:
        for job_id in (running, waiting[0], waiting[1]):
            params = {"after": 0, "wait": 20}
            events = []
            while not events or "cancelled" not in events[-1]["event"]:
                params["after"] = len(events)
                events += (await client.get(f"/api/export/{job_id}/events", params=params)).json()["events"]
            assert events[-1]["data"]["cleanupCompleted"] is True
            check_story(events)
            assert not archive_of(server, job_id).parent.exists()
        assert (await server.events(client, waiting[2]))[-1]["event"] == "export:completed"
        async with server.client(OTHER_TOKEN) as other:
            assert (await server.events(other, theirs))[-1]["event"] == "export:completed"


async def test_a_cancellation_that_was_answered_is_done_by_the_next_server(settings_for, cells, monkeypatch):
    append = SqliteLog.append

    async def refusing(log, record, name, data):
        if name == "export:cancelled":
            raise LogUnusableError
        return await append(log, record, name, data)

    settings = settings_for(cells, jobs_at_once=0)
    async with serving(settings) as server, server.client() as client:
        job_id = await server.start(client)
        monkeypatch.setattr(SqliteLog, "append", refusing)
        answer = await client.post(server.job_path(job_id) + "/cancel", json={"reason": "enough"})
        assert answer.json()["status"] == "cancelling"
    monkeypatch.undo()
    async with serving(settings) as server, server.client() as client:
        [end] = await server.events(client, job_id)
        assert (end["event"], end["data"]["reason"]) == ("export:cancelled", "enough")


def note_a_cancellation(server, job_id):
    """Leave a job as a server does that dies between noting its cancellation and doing it."""
    with sqlite3.connect(server.settings.state / "events.sqlite3") as db:
        db.execute(
            'UPDATE jobs SET record = json_set(record, \'$.cancellation\', json(\'{"by": "user", "reason": null}\')) '
            "WHERE id = ?",
            (job_id,),
        )
    db.close()
