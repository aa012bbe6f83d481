"""Sockets that cannot be told what they wait for: they are ended, so that they ask again, and none waits in vain."""

import asyncio
import json
import logging

import pytest

from exportctl.server import outgoing
from exportctl.server.log import LogUnusableError
from exportctl.server.sqlite_log import SqliteLog
from server.conftest import TOKEN, serving
from server.socket_client import connected
from waiting import until


@pytest.fixture
def waiting_jobs(settings_for, cells):
    """Settings of a server that begins no job."""
    return settings_for(cells, jobs_at_once=0, queue=4, stall=0.1)


async def test_a_socket_that_cannot_be_told_of_a_job_is_ended_and_told_by_the_next(waiting_jobs, monkeypatch):
    read = SqliteLog.read

    async def unreadable(log, job_id, after, limit):
        if await read(log, job_id, after, limit):
            raise LogUnusableError("The event log cannot be used: disk I/O error")
        return []

    async with serving(waiting_jobs) as server, server.client() as client:
        job_id = await server.start(client)
        async with connected(server.url, TOKEN) as socket:
            assert (await socket.call("export:subscribe", {"jobId": job_id}))["ok"]
            monkeypatch.setattr(SqliteLog, "read", unreadable)
            await client.post(server.job_path(job_id) + "/cancel")
            await asyncio.wait_for(socket.closed.wait(), 30)
            monkeypatch.undo()
        async with connected(server.url, TOKEN) as socket:
            await socket.call("export:subscribe", {"jobId": job_id})
            assert [name for name, _ in socket.of(job_id)] == ["export:cancelled"]


async def test_a_poller_that_takes_nothing_is_ended_and_not_left_without_news(waiting_jobs, caplog):
    caplog.set_level(logging.INFO, outgoing.logger.name)
    async with serving(waiting_jobs) as server, server.client() as client:
        poll = {"EIO": "4", "transport": "polling"}
        opened = await client.get("/socket.io/", params=poll)
        poll["sid"] = json.loads(opened.text[1:])["sid"]
        subscribe = f'420["export:history",{{"projectId":"{server.project.id}"}}]'
        for packet in ("40" + json.dumps({"token": TOKEN}), subscribe):
            await client.post("/socket.io/", params=poll, content=packet)
        for _ in range(8):  # more than its queue may hold
            await server.start(client)
        await until(lambda: any("takes nothing" in record.message for record in caplog.records))
        answer = await client.get("/socket.io/", params=poll)
        assert (answer.status_code, answer.json()) == (400, {"code": 1, "message": "Session ID unknown"})


async def test_a_job_that_is_forgotten_while_it_is_told_is_not_told_for_ever(server, monkeypatch):
    async with server.client() as client, connected(server.url, TOKEN) as socket:
        job_id = await server.start(client)
        await server.events(client, job_id)
        known, looks = SqliteLog.job, iter([True])

        async def job(*asked, **whose):
            return await known(*asked, **whose) if next(looks, False) else None

        async def read(*_):
            return []

        monkeypatch.setattr(SqliteLog, "job", job)
        monkeypatch.setattr(SqliteLog, "read", read)
        assert (await socket.call("export:subscribe", {"jobId": job_id}))["code"] == "JOB_NOT_FOUND"
