"""A server of protocol 1 that replays what a production server was recorded to say, over real sockets.

It answers HTTP and WebSocket on a loopback port, in a thread of its own. A start plays the recorded export: its frames
in their order, at `pace` times the recorded waits (0: all at once), the POST's answer at its recorded place among them.
What is not in the transcripts is a knob: answers that get lost, a restart that forgets, a sign-in that ends.
"""

import asyncio
import contextlib
import io
import json
import socket as sockets
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

RECORDED = Path(__file__).parents[2].parent / "shared" / "wire" / "protocol1"
IS_RECORDED = RECORDED.is_dir()
HOLD = "hold"
"""A step that waits for the cancellation."""
ENDS = {"export:completed": "completed", "export:failed": "failed", "export:cancelled": "cancelled"}


def archive():
    """A real archive, since whoever downloads it checks it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("README.txt", "an export")
    return buffer.getvalue()


@dataclass(kw_only=True)
class Export:
    """One recorded export: its steps are (seconds since the POST, what): a frame, `answer`, `HOLD`."""

    job_id: str
    project_id: str
    request: dict
    steps: list

    def events(self):
        """The recorded events, as (name, data)."""
        found = []
        for _, what in self.steps:
            if what.startswith("42"):
                found.append(tuple(json.loads(what[2:])))
        return found


def transcript(scenario):
    with (RECORDED / f"{scenario}.ndjson").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def exports_of(scenario):
    """Every export of a scenario that was followed on its first socket or polling session, in order."""
    lines = transcript(scenario)
    found = []
    for line in lines:
        body = line.get("body")
        is_start = line["dir"] == "http-response" and line.get("path", "").endswith("/export")
        if is_start and isinstance(body, dict) and body.get("jobId"):
            found.append(_export(lines, line["path"].split("/")[3], body["jobId"], line["t"]))
    return found


def _frames(line):
    if line["dir"] == "ws-recv" and "socket" not in line:
        yield line["frame"]
    elif line["dir"] == "http-response" and "transport=polling" in line.get("path", "") and line.get("text"):
        for packet in line["text"].split("\x1e"):
            if packet.startswith("42"):
                yield packet


def _export(lines, project_id, job_id, answered):
    posts = [line for line in lines if line["dir"] == "http-request" and line.get("path", "").endswith("/export")]
    post = [line for line in posts if project_id in line["path"] and line["t"] < answered][-1]
    steps = [(answered - post["t"], "answer")]
    for line in lines:
        steps += [(line["t"] - post["t"], frame) for frame in _frames(line) if job_id in frame]
        said = line["dir"] in {"ws-send", "http-request"}
        asks = f"{line.get('frame', '')} {line.get('text', '')} {line.get('path', '')}" if said else ""
        is_cancel = ("export:cancel" in asks or asks.endswith("/cancel")) and job_id in asks
        if is_cancel and not any(what == HOLD for _, what in steps):
            steps.append((line["t"] - post["t"], HOLD))
    steps.sort(key=lambda step: step[0])
    return Export(job_id=job_id, project_id=project_id, request=post.get("body") or {}, steps=steps)


@dataclass
class Server1:
    """The server. `exports` are played one after the other; `titles` name their projects."""

    exports: list
    pace: float = 0.0
    late_by: float = 0.0
    titles: dict = field(default_factory=dict)
    loses_answers: bool = False
    loses_starts: bool = False
    is_signed_in: bool = True
    refusal: str = "Token vypršel"
    socket_refusal: str | None = None
    takes_sockets: bool = True
    is_busy: bool = False
    answers_heads: bool = True
    sends_events: bool = True
    url: str = ""
    body: bytes = field(default_factory=archive)
    asked: list = field(default_factory=list)
    jobs: dict = field(default_factory=dict)
    open: list = field(default_factory=list)
    opened: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self):
        for export in self.exports:
            self.titles.setdefault(export.project_id, f"project {len(self.titles) + 1}")
        self.waiting = list(self.exports)
        job = "/api/projects/{project}/export/{job}"
        self.app = Starlette(
            routes=[
                Route("/api/projects", self.projects),
                Route("/api/projects/{project}/export", self.start, methods=["POST"]),
                Route("/api/projects/{project}/export/history", self.history),
                Route(f"{job}/status", self.status),
                Route(f"{job}/cancel", self.cancel, methods=["POST"]),
                Route(f"{job}/download", self.download),
                Route("/{rest:path}", self.nothing),
                WebSocketRoute("/socket.io/", self.socket),
            ]
        )

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.answer(scope, receive, send)
        finally:
            self.at_once -= 1

    async def answer(self, scope, receive, send):
        self.asked.append(f"{scope['method']} {scope['path']}")
        if self.is_signed_in:
            await self.app(scope, receive, send)
        else:
            error = {"success": False, "error": self.refusal, "code": "UNAUTHORIZED"}
            await JSONResponse(error, 401)(scope, receive, send)

    def count(self, ending):
        return sum(one.endswith(ending) for one in self.asked)

    async def projects(self, _request):
        rows = [{"id": one, "title": title, "imageCount": 12} for one, title in self.titles.items()]
        return JSONResponse({"success": True, "data": rows, "pagination": {"page": 1, "limit": 10, "totalPages": 1}})

    async def nothing(self, request):
        return self.missing(f"Endpoint GET {request.url.path} not found")

    def missing(self, words="Export status not found"):
        return JSONResponse({"success": False, "error": words, "code": "NOT_FOUND"}, 404)

    async def start(self, request):
        body = await request.json()
        if self.is_busy:
            words = "Rate limit exceeded: you already have an export in progress."
            return JSONResponse({"success": False, "error": words, "code": "RATE_LIMIT_EXCEEDED"}, 429)
        if self.loses_starts:
            return Response(b"{", headers={"Content-Length": "100"}, media_type="application/json")
        export = self.waiting.pop(0)
        job = Job1(export=export, options=body["options"], name=body.get("projectName"))
        self.jobs[export.job_id] = job
        job.playing = asyncio.create_task(self.play(job))
        await job.answered.wait()
        answer = {"success": True, "jobId": export.job_id, "message": "Export job started successfully"}
        if self.loses_answers:
            # More was announced than comes: the connection ends in the middle of the answer.
            return Response(b"{", headers={"Content-Length": "100"}, media_type="application/json")
        return JSONResponse(answer)

    async def play(self, job):
        before = 0.0
        for at, what in job.export.steps:
            if self.pace:
                await asyncio.sleep((at - before) * self.pace)
            before = at
            if what == "answer":
                job.answered.set()
            elif what == HOLD:
                await job.cancelled.wait()
            else:
                job.note(*json.loads(what[2:]))
                await self.tell(what)
            await asyncio.sleep(0)

    async def tell(self, frame):
        if self.sends_events:
            for web_socket in list(self.open):
                with contextlib.suppress(Exception):
                    await web_socket.send_text(frame)

    async def status(self, request):
        await asyncio.sleep(self.late_by)
        job = self.jobs.get(request.path_params["job"])
        return self.missing() if job is None else JSONResponse(job.status())

    async def history(self, request):
        project = request.path_params["project"]
        found = [job.status() for job in self.jobs.values() if job.export.project_id == project]
        return JSONResponse(list(reversed(found)))

    async def cancel(self, request):
        await asyncio.sleep(self.late_by)
        job = self.jobs.get(request.path_params["job"])
        if job is not None:
            job.cancelled.set()
        return JSONResponse({"success": True, "message": "Export job cancelled successfully"})

    async def download(self, request):
        job = self.jobs.get(request.path_params["job"])
        is_there = job is not None and job.said == "completed" and self.answers_heads
        if not is_there:
            return self.missing("Export file not found")
        name = f'attachment; filename="export_{job.export.job_id}.zip"'
        headers = {"ETag": 'W/"1-2"', "Accept-Ranges": "bytes", "Content-Disposition": name}
        return Response(self.body, headers=headers, media_type="application/zip")

    async def socket(self, web_socket):
        self.opened += 1
        if not self.takes_sockets:
            await web_socket.close()
            return
        await web_socket.accept()
        times = '"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000'
        await web_socket.send_text(f'0{{"sid":"a","upgrades":[],{times}}}')
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                frame = await web_socket.receive_text()
                self.asked.append(frame)
                refusal = self.socket_refusal or '44{"message":"Authentication failed"}'
                if frame.startswith("40") and (self.socket_refusal or not self.is_signed_in):
                    await web_socket.send_text(refusal)
                elif frame.startswith("40"):
                    await web_socket.send_text('40{"sid":"b"}')
                    self.open.append(web_socket)
        with contextlib.suppress(ValueError):
            self.open.remove(web_socket)

    async def drop_sockets(self):
        found, self.open = self.open, []
        for web_socket in found:
            with contextlib.suppress(Exception):
                await web_socket.close()

    def forget(self):
        """What a restart does: jobs live in memory."""
        for job in self.jobs.values():
            job.playing.cancel()
        self.jobs.clear()

    async def close(self):
        await self.drop_sockets()
        playing = [job.playing for job in self.jobs.values() if job.playing is not None]
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


@dataclass
class Job1:
    """A job of the server, as the events so far left it."""

    export: Export
    options: dict
    name: str | None
    said: str = "processing"
    progress: float = 0
    message: str | None = None
    warnings: list = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    playing: asyncio.Task | None = None

    def note(self, name, data):
        if data.get("jobId") != self.export.job_id:
            return  # the answer to operation:cancel, which is true of no job
        self.progress = data.get("progress", self.progress)
        self.said = ENDS.get(name, self.said)
        if name == "export:failed":
            self.message = data["error"]
        self.warnings = data.get("warnings", self.warnings)

    def status(self):
        facts = {
            "id": self.export.job_id,
            "projectId": self.export.project_id,
            "userId": "u",
            "status": self.said,
            "progress": self.progress,
            "createdAt": "2126-11-24T03:23:22.470Z",
            "options": self.options,
            "projectName": self.name,
        }
        if self.message is not None:
            facts["message"] = self.message
        if self.said in ENDS.values():
            facts["completedAt"] = "2126-11-24T03:24:19.685Z"
        if self.said == "completed":
            facts |= {"filePath": "/srv/exports/small.zip"} | ({"warnings": self.warnings} if self.warnings else {})
        return facts


class QuietServer(uvicorn.Server):
    """Leaves the signals to pytest."""

    def capture_signals(self):
        return contextlib.nullcontext()


@contextlib.contextmanager
def serving(server):
    """Run the server in a thread of its own; `server.url` is where it is, `server.do` runs a coroutine there."""
    listening = sockets.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    running = QuietServer(
        uvicorn.Config(
            server, lifespan="off", log_level="critical", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
    )
    loops, up = [], threading.Event()

    async def main():
        loops.append(asyncio.get_running_loop())
        up.set()
        await running.serve(sockets=[listening])
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    up.wait()
    server.do = lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loops[0]).result(10)
    server.soon = loops[0].call_soon_threadsafe
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join()
