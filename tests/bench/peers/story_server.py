"""A real Socket.IO server that tells one job's story, as fast as it can be written. Prints its port.

    python story_server.py EVENTS [PER_SECOND]

python-socketio under uvicorn serves the handshake, the sign-in, the subscription and its acknowledgement. The story
itself is encoded before anyone listens and put on the connection's own transport in blocks of whole frames: through
python-socketio's `emit` the server would be what is measured. With PER_SECOND the events are sent one by one, and the
message of each is the time at which it was (CLOCK_MONOTONIC, nanoseconds); with 0 nothing is ever told.
"""

import asyncio
import json
import socket
import sys
import time

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EVENT_BYTES = 250
BLOCK = 200
SETTLE_SECONDS = 0.2
PROJECT, JOB, LOG = "bench", "4b0f6a52-9c1f-4a5e-8a51-5b8b8c6f2d10", "log-1"
STAMP = "2026-01-01T00:00:00.000Z"


def frame(text):
    payload = text.encode()
    size = len(payload)
    return (bytes([0x81, size]) if size < 126 else bytes([0x81, 126, size >> 8, size & 0xFF])) + payload


def progress(seq, count, *, message=None):
    """One event whose data are 250 bytes of JSON, unless the message is given."""
    data = {
        "jobId": JOB,
        "projectId": PROJECT,
        "seq": seq,
        "timestamp": STAMP,
        "phase": "processing",
        "stage": "images",
        "progress": round(99 * seq / count, 2),
        "stageProgress": {"current": seq, "total": count},
        "message": "",
    }
    data["message"] = message or "x" * (EVENT_BYTES - len(json.dumps(data, separators=(",", ":"))))
    return event("export:progress", data)


def completed(seq):
    data = {"jobId": JOB, "projectId": PROJECT, "seq": seq, "timestamp": STAMP, "warnings": []}
    return event("export:completed", data)


def event(name, data):
    return frame("42" + json.dumps([name, data], separators=(",", ":")))


class Tapped(WebSocketsSansIOProtocol):
    """uvicorn's own protocol, remembered, so that frames made ahead can be put on its transport."""

    latest = None

    def connection_made(self, transport):
        super().connection_made(transport)
        Tapped.latest = self
        self.began = None

    def connection_lost(self, exc):
        super().connection_lost(exc)
        if self.began is not None:
            Story.seconds = time.monotonic() - self.began


class Story:
    count = 0
    blocks = ()
    per_second = None
    seconds = None
    """From the first frame written until the last client left."""

    @classmethod
    async def tell(cls, to):
        await asyncio.sleep(SETTLE_SECONDS)  # the acknowledgement goes first
        to.began = time.monotonic()
        if cls.per_second == 0:
            return
        if cls.per_second:
            for seq in range(1, cls.count + 1):
                to.transport.write(progress(seq, cls.count, message=str(time.monotonic_ns())))
                await asyncio.sleep(1 / cls.per_second)
        else:
            for block in cls.blocks:
                if to.disconnected:
                    return
                to.transport.write(block)
                await to.writable.wait()
        to.transport.write(completed(cls.count + 1))


# Pings every 5 s: python-socketio's client gives up when it had nothing to send for 30 s, and under such a story the
# ping of the 25th reaches it too late.
sio = socketio.AsyncServer(async_mode="asgi", ping_interval=5)
tasks = set()


@sio.on("export:subscribe")
async def subscribe(_sid, _request):
    task = asyncio.create_task(Story.tell(Tapped.latest))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return {"ok": True, "protocol": 2, "log": LOG, "lastSeq": 0, "status": "processing", "gap": False}


async def status(request):
    job = request.path_params["job"]
    body = {"id": job, "projectId": PROJECT, "status": "processing", "progress": 0, "lastSeq": 0}
    return JSONResponse(body, headers={"Export-Protocol": "2"})


async def events(request):
    """A long poll of which nothing comes."""
    await asyncio.sleep(float(request.query_params.get("wait", 0)))
    body = {"events": [], "log": LOG, "lastSeq": 0, "status": "processing", "gap": False}
    return JSONResponse(body, headers={"Export-Protocol": "2"})


async def projects(_request):
    """What the command asks first, to know the protocol."""
    body = {"success": True, "data": [], "pagination": {"page": 1, "limit": 1, "total": 0, "totalPages": 0}}
    return JSONResponse(body, headers={"Export-Protocol": "2"})


async def seconds(_request):
    return JSONResponse(Story.seconds)


def main():
    Story.count = int(sys.argv[1])
    Story.per_second = float(sys.argv[2]) if len(sys.argv) > 2 else None
    if Story.per_second is None:
        numbers = range(1, Story.count + 1)
        Story.blocks = [
            b"".join(progress(seq, Story.count) for seq in numbers[at : at + BLOCK])
            for at in range(0, Story.count, BLOCK)
        ]
    routes = [
        Route("/api/projects", projects),
        Route(f"/api/projects/{PROJECT}/export/{{job}}/status", status),
        Route(f"/api/projects/{PROJECT}/export/{{job}}/events", events),
        Route("/seconds", seconds),
    ]
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        socketio.ASGIApp(sio, Starlette(routes=routes)),
        ws=Tapped,
        ws_per_message_deflate=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
