"""What a crowd costs the server: events to many followers, idle followers, a long replay, many jobs at once.

    python tests/bench/crowd.py [--followers 1 100 1000] [--images 300] [--idle 1000] [--replay 100000] [--jobs 200]

A server of its own process makes real exports of small pictures, its progress coalesced to 50 events a second.
Followers are plain websockets in this process; a delay is from the event's own time, in whole milliseconds, to its
arrival here, so it counts what this process waits for too. Prints counts and ratios; a benchmark, no test: it always
ends well.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import uvloop
import websockets
from export import make_folder, processor, resident

TOKEN = "token-of-the-bench"
AT_ONCE = 50


def serve(state: Path, folder: Path, at_once: int) -> None:
    """Be the server, until the end of standard input."""
    from exportctl.server.run import collect_seldom, run  # noqa: PLC0415 - only the child needs it
    from exportctl.server.settings import Settings, projects_of  # noqa: PLC0415

    async def until_end() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, stop.set)
        settings = Settings(
            tokens={TOKEN: "ana"},
            state=state,
            projects=projects_of([(folder, None)]),
            workers=1,
            jobs_per_user=10_000,
            jobs=10_000,
            jobs_at_once=at_once,
            coalesce=1 / AT_ONCE,
        )
        await run(settings, lambda url: print(url, flush=True), stop)

    collect_seldom()
    uvloop.run(until_end())


class Server:
    """The child, and what it spends."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.pid = process.pid
        self.url = url

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        limits = httpx.Limits(max_connections=2000, max_keepalive_connections=50)
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=300, limits=limits)

    @property
    def spent(self) -> float:
        """Processor seconds so far."""
        return processor(self.pid)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return resident(self.pid)


@contextmanager
def serving(folder: Path, *, at_once: int = 2, state: Path | None = None) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as scratch:
        words = ["--serve", str(state or Path(scratch, "state")), str(folder), str(at_once)]
        process = subprocess.Popen([sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield Server(process, process.stdout.readline().decode().strip())
        finally:
            process.communicate()


async def socket_of(server: Server) -> Any:
    """Connect a follower and sign it in."""
    address = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    socket = await websockets.connect(address, proxy=None, compression=None, ping_interval=None, open_timeout=120)
    await socket.recv()
    await socket.send("40" + json.dumps({"token": TOKEN}))
    await socket.recv()
    return socket


async def follow(socket: Any, job: str, after: int, delays: list[float] | None) -> int:
    """Subscribe, and read to the job's end; returns the number of its events."""
    await socket.send("421" + json.dumps(["export:subscribe", {"jobId": job, "after": after}]))
    count = 0
    async for packet in socket:
        if packet == "2":
            await socket.send("3")
        elif packet.startswith('42["export:') and '"seq":' in packet:
            count += 1
            if delays is not None:
                at = packet.index('"timestamp":"') + 13
                delays.append(time.time() - datetime.fromisoformat(packet[at : at + 24]).timestamp())
            if packet.startswith('42["export:completed"'):
                break
    return count


async def start(client: httpx.AsyncClient) -> str:
    project = (await client.get("/api/projects")).json()["projects"][0]["id"]
    answer = await client.post(f"/api/projects/{project}/export", json={"options": {}})
    return str(answer.json()["jobId"])


async def end_of(client: httpx.AsyncClient, job: str) -> int:
    """Wait for a job's end by long polls; returns the number of its events."""
    after = 0
    while True:
        answer = (await client.get(f"/api/export/{job}/events", params={"after": after, "wait": 30})).json()
        after += len(answer["events"])
        if answer["status"] in {"completed", "failed", "cancelled"} and after >= answer["lastSeq"]:
            return after


async def followers(folder: Path, counts: list[int]) -> None:
    with serving(folder) as server:
        async with server.client() as client:
            await end_of(client, await start(client))  # the workers are there now
            before = server.spent
            await end_of(client, await start(client))
            alone = server.spent - before
            for count in counts:
                sockets = await asyncio.gather(*(socket_of(server) for _ in range(count)))
                delays: list[float] = []
                before, began = server.spent, time.perf_counter()
                job = await start(client)
                got = await asyncio.gather(*(follow(socket, job, 0, delays) for socket in sockets))
                wall, spent = time.perf_counter() - began, server.spent - before - alone
                await asyncio.gather(*(socket.close() for socket in sockets))
                lost = len(got) * max(got) - sum(got)
                late = sorted(delays)[int(len(delays) * 0.99)] * 1e3
                print(
                    f"{count} followers: {sum(got)} events, {lost} lost; {sum(got) / wall:,.0f} a second, "
                    f"{sum(got) / max(spent, 0.01):,.0f} a processor second beyond the export's own; "
                    f"delay median {statistics.median(delays) * 1e3:.0f} ms, 99 % {late:.0f} ms"
                )


async def idle(folder: Path, count: int) -> None:
    with serving(folder, at_once=0) as server:
        async with server.client() as client:
            job = await start(client)
            tasks = [asyncio.create_task(follow(await socket_of(server), job, 0, None))]
            await asyncio.sleep(2)
            before = server.memory
            tasks += [asyncio.create_task(follow(await socket_of(server), job, 0, None)) for _ in range(count)]
            await asyncio.sleep(5)
            print(f"{count} idle followers by socket: {(server.memory - before) / count / 1e3:.1f} kB each")
            spent = server.spent
            await asyncio.sleep(10)
            print(f"  and {(server.spent - spent) / 10:.1%} of a core, heartbeats every 5 s included")
            before = server.memory
            path, params = f"/api/export/{job}/events", {"after": 0, "wait": 30}
            polls = [asyncio.create_task(client.get(path, params=params)) for _ in range(count)]
            await asyncio.sleep(10)
            print(f"{count} idle followers by long poll: {(server.memory - before) / count / 1e3:.1f} kB each")
            for task in (*tasks, *polls):
                task.cancel()
            await asyncio.gather(*tasks, *polls, return_exceptions=True)


async def replay(folder: Path, count: int) -> None:
    from exportctl.server.job import JobRecord, Status  # noqa: PLC0415 - after the folder was made
    from exportctl.server.sqlite_log import SqliteLog  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch)
        log = SqliteLog(state / "events.sqlite3", time.time)
        await log.open()
        ids = {name: name for name in ("id", "log", "making", "project", "project_name", "correlation")}
        record = await log.create(JobRecord(**ids, user="ana", options={}, created=time.time()))
        began = time.perf_counter()
        for number in range(1, count):
            told = {"phase": "processing", "stage": "images", "progress": 100 * number / count, "message": "x" * 60}
            record = await log.append(record, "export:progress", told)
        written = time.perf_counter() - began
        done = JobRecord(**ids, user="ana", options={}, created=record.created, status=Status.COMPLETED)
        await log.append(done, "export:completed", {"warnings": [], "processingTime": 1})
        await log.close()
        with serving(folder, state=state) as server:
            before, began = server.spent, time.perf_counter()
            got = await follow(await socket_of(server), "id", 0, None)
            wall, spent = time.perf_counter() - began, server.spent - before
            print(f"replay of {got} events: written {count / written:,.0f} a second; by socket", end=" ")
            print(f"{got / wall:,.0f} a second, {got / max(spent, 0.01):,.0f} a processor second of the server")
            async with server.client() as client:
                before, began, after = server.spent, time.perf_counter(), 0
                while after < count:
                    params = {"after": after, "limit": 5000}
                    after += len((await client.get("/api/export/id/events", params=params)).json()["events"])
                wall, spent = time.perf_counter() - began, server.spent - before
                rates = f"{after / wall:,.0f} a second, {after / max(spent, 0.01):,.0f} a processor second"
                print(f"  by pages over HTTP {rates}")


async def queue(folder: Path, count: int) -> None:
    with serving(folder) as server:
        async with server.client() as client:
            began = time.perf_counter()
            jobs = await asyncio.gather(*(start(client) for _ in range(count)))
            taken = time.perf_counter() - began
            late, waiting = 0.0, True
            while waiting:
                asked = time.perf_counter()
                health = (await client.get("/api/health")).json()["parts"]["jobs"]
                late = max(late, time.perf_counter() - asked)
                waiting = bool(health["waiting"] or health["running"])
                await asyncio.sleep(0.05)
            wall = time.perf_counter() - began
            ends = [(await client.get(f"/api/export/{job}")).json()["status"] for job in jobs]
            print(
                f"{count} jobs queued in {taken:.1f} s, done in {wall:.1f} s ({ends.count('completed')} completed); "
                f"server {server.spent:.1f} processor s; slowest /api/health {late * 1e3:.0f} ms"
            )


async def measure(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        small, few = Path(scratch, "small"), Path(scratch, "few")
        for folder, count in ((small, asked.images), (few, 3)):
            folder.mkdir()
            make_folder(folder, count, 128)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        await followers(small, asked.followers)
        await idle(few, asked.idle)
        await replay(few, asked.replay)
        await queue(few, asked.jobs)


def main() -> None:
    """Measure all and print."""
    if "--serve" in sys.argv:
        state, folder, at_once = sys.argv[2:]
        serve(Path(state), Path(folder), int(at_once))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--followers", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--replay", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=200)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
