"""The official JavaScript client against our server: what it starts, follows, misses and cancels."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from exportctl.server.settings import Settings, projects_of
from server.conftest import OTHER_TOKEN, TOKEN, serving, write_images
from wire.conftest import HERE

TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]]


class Client:
    """The client, remote-controlled. `seen`: all that it was told, as lists."""

    def __init__(self, process):
        self._process = process
        self._calls = 0
        self._news = asyncio.Condition()
        self.seen = []

    async def read(self):
        async for line in self._process.stdout:
            self.seen.append(json.loads(line))
            async with self._news:
                self._news.notify_all()

    def ask(self, do, **more):
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")

    async def call(self, *args):
        """Emit an event and return what acknowledged it."""
        self._calls += 1
        number = self._calls
        self.ask("emit", id=number, args=args)
        return (await self.wait(lambda: self.said("ack", number)))[0][2]

    def said(self, *begin):
        return [line for line in self.seen if line[: len(begin)] == list(begin)]

    def of(self, job):
        """The logged events of a job, as (seq, name)."""
        events = [line for line in self.said("event") if line[2].get("jobId") == job and "seq" in line[2]]
        return [(data["seq"], name) for _, name, data in events]

    async def wait(self, condition):
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(condition)
        return condition()


@asynccontextmanager
async def client(node, url, transports=("websocket",), token=TOKEN, **options):
    asked = json.dumps({"transports": list(transports), "auth": {"token": token}, **options})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, str(HERE / "client.mjs"), url, asked, stdin=pipe, stdout=pipe, limit=1 << 24
    )
    found = Client(process)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        process.stdin.close()
        await process.wait()
        await reading


@pytest.fixture
async def server(tmp_path):
    settings = Settings(
        tokens={TOKEN: "ana", OTHER_TOKEN: "ben"},
        state=tmp_path / "state",
        projects=projects_of([(write_images(tmp_path / "cells", 60), None)]),
        workers=1,
    )
    async with serving(settings) as running:
        yield running


def is_whole(events):
    return [seq for seq, _ in events] == list(range(1, len(events) + 1)) and events[-1][1] == "export:completed"


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
async def test_a_job_started_over_http_is_followed_from_its_first_event_to_its_last(node, server, transports):
    async with server.client() as http, client(node, server.url, transports) as official:
        await official.wait(lambda: official.said("connect"))
        job = await server.start(http)
        ack = await official.call("export:subscribe", {"jobId": job, "after": 0})
        assert (ack["ok"], ack["protocol"], ack["gap"]) == (True, 2, False)
        await official.wait(lambda: any(name == "export:completed" for _, name in official.of(job)))
        last = official.of(job)[-1][0]
        again = await official.call("export:subscribe", {"jobId": job, "after": last - 2})
        assert (again["lastSeq"], again["status"]) == (last, "completed")
        replayed = official.of(job)[last:]
        assert [seq for seq, _ in replayed] == [last - 1, last]
        assert [data["lastSeq"] for _, _, data in official.said("event", "export:status-sync")][-1] == last
    # A socket that follows its user's jobs before it subscribes may hear the first of them twice, none never.
    told = sorted(set(official.of(job)))
    assert is_whole(told)


@pytest.mark.parametrize("transports", TRANSPORTS[:2], ids="+".join)
async def test_a_client_that_loses_its_connection_again_and_again_loses_nothing_else(node, server, transports):
    async with server.client() as http, client(node, server.url, transports) as official:
        await official.wait(lambda: official.said("connect"))
        job = await server.start(http)
        await official.call("export:subscribe", {"jobId": job, "after": 0})
        for drops in range(1, 4):
            official.ask("drop")
            await official.wait(lambda drops=drops: len(official.said("connect")) > drops)
            events = official.of(job)
            after = events[-1][0] if events else 0
            assert (await official.call("export:subscribe", {"jobId": job, "after": after}))["gap"] is False
        await official.wait(lambda: any(name == "export:completed" for _, name in official.of(job)))
        assert is_whole(sorted(set(official.of(job))))
        assert len(official.said("disconnect")) == 3


@pytest.mark.parametrize("transports", TRANSPORTS[:2], ids="+".join)
async def test_a_cancellation_is_acknowledged_at_once_and_its_end_follows(node, server, transports):
    async with server.client() as http, client(node, server.url, transports) as official:
        await official.wait(lambda: official.said("connect"))
        jobs = [await server.start(http) for _ in range(4)]
        ack = await official.call("export:cancel", {"jobId": jobs[-1], "reason": "no need"})
        assert ack == {"ok": True, "status": "cancelling"}
        await official.wait(lambda: any(name == "export:cancelled" for _, name in official.of(jobs[-1])))
        cancelled = [line[2] for line in official.said("event", "export:cancelled")]
        assert [(data["jobId"], data["reason"]) for data in cancelled] == [(jobs[-1], "no need")]
        history = await official.call("export:history", {"projectId": server.project.id, "limit": 10})
        assert {job["id"] for job in history["jobs"]} == set(jobs)


async def test_a_refusal_is_told_in_its_words(node, server):
    async with client(node, server.url, token="wrong", reconnection=False) as official:
        await official.wait(lambda: official.said("connect_error", "Authentication failed"))
    async with client(node, f"{server.url}/random", reconnection=False) as official:
        await official.wait(lambda: official.said("connect_error", "Invalid namespace"))
    async with client(node, server.url, token=OTHER_TOKEN) as official, server.client() as http:
        await official.wait(lambda: official.said("connect"))
        job = await server.start(http)
        refused = await official.call("export:subscribe", {"jobId": job})
        assert (refused["ok"], refused["code"]) == (False, "JOB_NOT_FOUND")
        await server.events(http, job)
        assert official.of(job) == []
