"""A real python-socketio server on loopback, in the test's own loop, and a follower of a job of it.

It speaks the small part of protocol 2 that a follower needs, and can be told to withhold, repeat, refuse and hang up.
"""

import asyncio
import contextlib
import socket as sockets
from dataclasses import dataclass, field

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.client.http import Server, open_client
from waiting import PATIENCE, until

JOB, PROJECT, TOKEN = "job-0001", "nuclei", "secret-of-ana"


def history(end="export:completed", **more):
    told = [
        ("export:started", {"projectName": "Nuclei", "options": {}}),
        ("export:progress", {"phase": "processing", "stage": "images", "progress": 25}),
        ("export:progress", {"phase": "processing", "stage": "images", "progress": 75}),
        ("export:phase-changed", {"fromPhase": "processing", "toPhase": "downloading"}),
        ("export:download-ready", {"fileName": "n.zip", "fileSize": 9, "sha256": "ab"}),
        (end, {"warnings": [], "processingTime": 1.5, "error": "boom"} | more),
    ]
    return [
        (name, {"jobId": JOB, "projectId": PROJECT, "seq": seq, "correlationId": "c"} | data)
        for seq, (name, data) in enumerate(told, start=1)
    ]


WHOLE = history()


NAMES = [name for name, _ in WHOLE]


@dataclass
class Peer:
    """The server. `log` is what it holds of the job; `withholds` the numbers that no socket is told."""

    log: list = field(default_factory=list)
    log_id: str = "log-1"
    withholds: set = field(default_factory=set)
    repeats: int = 1
    takes_sockets: bool = True
    refuses_sign_in: bool = False
    is_mute: bool = False
    refusal: dict | None = None
    http_status: int = 200
    subscriptions: list = field(default_factory=list)
    polls: list = field(default_factory=list)
    cancels: list = field(default_factory=list)
    sids: list = field(default_factory=list)
    url: str = ""
    holds: bool = True
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self):
        self.grown, self.over = asyncio.Condition(), asyncio.Event()
        self.sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
        self.sio.on("connect", self.connect)
        self.sio.on("export:subscribe", self.subscribe)
        self.sio.on("export:cancel", self.cancel)
        routes = [
            Route("/api/projects/{project}/export/{job}/events", self.events),
            Route("/api/projects/{project}/export/{job}/cancel", self.cancel_by_http, methods=["POST"]),
        ]
        self.app = socketio.ASGIApp(self.sio, other_asgi_app=Starlette(routes=routes))

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket" and not self.takes_sockets:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)

    @property
    def status(self):
        ends = {"export:completed": "completed", "export:failed": "failed", "export:cancelled": "cancelled"}
        return ends.get(self.log[-1][0], "processing") if self.log else "pending"

    @property
    def last_seq(self):
        return self.log[-1][1]["seq"] if self.log else 0

    async def connect(self, sid, _environ, auth):
        if self.refuses_sign_in or (auth or {}).get("token") != TOKEN:
            raise socketio.exceptions.ConnectionRefusedError("Authentication failed")
        self.sids.append(sid)

    def _from(self, after, log):
        is_foreign = (log is not None and log != self.log_id) or after > self.last_seq
        return (0, True) if is_foreign else (after, False)

    async def subscribe(self, sid, data):
        self.subscriptions.append(data)
        if self.refusal is not None:
            return self.refusal
        if self.is_mute:
            await self.over.wait()
        after, gap = self._from(data["after"], data.get("log"))
        last = self.last_seq
        sync = {"jobId": data["jobId"], "status": self.status, "progress": 99, "lastSeq": last}
        await self.sio.emit("export:status-sync", sync, to=sid)
        await self.tell([one for one in self.log if one[1]["seq"] > after], to=sid)
        return {"ok": True, "protocol": 2, "log": self.log_id, "lastSeq": last, "status": self.status, "gap": gap}

    async def tell(self, events, *, to=None):
        for name, data in events:
            if data.get("seq") not in self.withholds:
                for _ in range(self.repeats):
                    await self.sio.emit(name, data, to=to)

    async def grow(self, *events, live=True):
        """Add to the log, then tell every socket."""
        async with self.grown:
            self.log += events
            self.grown.notify_all()
        if live:
            await self.tell(events)

    async def events(self, request):
        self.polls.append(dict(request.query_params))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.page(request)
        finally:
            self.at_once -= 1

    async def page(self, request):
        if self.http_status != 200:
            return self.answer({"success": False, "error": "no", "code": "X"})
        after, gap = self._from(int(request.query_params["after"]), request.query_params.get("log"))
        if int(request.query_params["wait"]) and self.holds:
            async with self.grown:
                await self.grown.wait_for(lambda: self.last_seq > after or self.has_ended())
        found = [{"event": name, "data": data} for name, data in self.log if data["seq"] > after]
        facts = {"log": self.log_id, "lastSeq": self.last_seq, "status": self.status, "gap": gap}
        return self.answer({"events": found} | facts)

    def has_ended(self):
        return self.over.is_set() or self.status not in {"pending", "processing"}

    def answer(self, body):
        return JSONResponse(body, self.http_status, headers={"Export-Protocol": "2"})

    async def cancel(self, _sid, data):
        self.cancels.append(("socket", data["reason"]))
        return {"ok": True, "status": "cancelling"}

    async def cancel_by_http(self, request):
        self.cancels.append(("http", (await request.json())["reason"]))
        return self.answer({"success": True})

    async def hang_up(self):
        sids, self.sids = self.sids, []
        for sid in sids:
            await self.sio.disconnect(sid)


class QuietServer(uvicorn.Server):
    """Leaves the signals to pytest."""

    def capture_signals(self):
        return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def open_peer():
    """Serve it until the block ends."""
    peer = Peer()
    listening = sockets.create_server(("127.0.0.1", 0))
    peer.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        peer, lifespan="off", log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = QuietServer(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started)
    yield peer
    peer.over.set()
    await peer.grow()  # whoever is held hears of it
    await peer.sio.shutdown()
    server.should_exit = True
    await running
    # python-socketio leaves its sockets' pings behind; a task of ours that is left fails the test.
    pings = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "AsyncSocket._send_ping"]
    for ping in pings:
        ping.cancel()
    await asyncio.gather(*pings, return_exceptions=True)


@dataclass
class Bench:
    """A follower's lines, and a clock that only its waits move."""

    lines: list = field(default_factory=list)
    slept: list = field(default_factory=list)
    now: float = 0.0

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0.001)

    def names(self):
        return [line.event for line in self.lines if line.event.startswith("export:") and line.server_seq]

    def numbers(self):
        return [line.server_seq for line in self.lines if getattr(line, "server_seq", None)]

    def connections(self):
        return [line.state for line in self.lines if line.event == "connection:changed"]

    def sources(self):
        return [line.source for line in self.lines if getattr(line, "server_seq", None)]


@contextlib.asynccontextmanager
async def following(peer, bench, *, token=TOKEN, **options):
    server = Server(url=peer.url, correlation_id="c", token=token)
    async with (
        open_client(server) as http,
        Follower(
            api=Api(http=http, server=server),
            tell=bench.lines.append,
            sleep=bench.sleep,
            jitter=lambda: 0.5,
            monotonic=lambda: bench.now,
            soon=options.pop("soon", 20.0),  # a busy machine is no mute server
            **options,
        ) as follower,
    ):
        yield follower


async def end_of(watch):
    async with asyncio.timeout(PATIENCE):
        return await watch.ended
