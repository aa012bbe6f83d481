"""A server of protocol 1 that behaves as the one in production was seen to, over real sockets; not a recording.

It lives one life after the other on one port: a restart breaks every connection and forgets every job; only the
sessions of people survive. Use `serving` as a context manager.
"""

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from people_server import People, signing
from production import acts
from production.archives import Shelf
from production.routes import routes
from production.site import Site


class _Quiet(uvicorn.Server):
    """Leaves the signals to pytest."""

    def capture_signals(self):
        return contextlib.nullcontext()


@dataclass(kw_only=True)
class Production:
    """The running server. `site` is what it does; `do` runs something there, in its own thread."""

    site: Site
    port: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _over: asyncio.Event | None = None
    _is_ended: bool = False
    _up: threading.Event = field(default_factory=threading.Event)
    _open: set = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, what: Callable[[], Awaitable | object]) -> object:
        """Run `what` in the server's loop and return what it returns."""

        async def doing() -> object:
            result = what()
            return await result if isinstance(result, Awaitable) else result

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(doing(), self._loop).result(10)

    def act(self, act: acts.Act) -> None:
        """Do this now, and wait where it is a restart until the next life has begun."""
        self._up.clear() if isinstance(act, acts.Restart) else None
        self.do(lambda: self.site.act(act))
        self._up.wait(10)

    def live(self) -> None:
        """Live until the end, in this thread."""
        while not self._is_ended:
            asyncio.run(self._live())
            if not self._is_ended:
                self.site.forget()
                self.site.restarts += 1

    def end(self) -> None:
        self._is_ended = True
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)

    def wait(self) -> None:
        assert self._up.wait(30), "the server did not start"

    async def _live(self) -> None:
        site, self._over, self._loop = self.site, asyncio.Event(), asyncio.get_running_loop()
        sockets = _sockets(site)
        application = Starlette(routes=(signing(site.people) if site.people else []) + routes(site))
        inner = socketio.ASGIApp(sockets, other_asgi_app=application)
        config = uvicorn.Config(
            self._gate(inner),
            lifespan="off",
            log_level="critical",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        server = _Quiet(config)
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            self.port = listening.getsockname()[1]
            serving_it = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
                await asyncio.sleep(0.002)
            site.news, site.emit = asyncio.Condition(), sockets.emit
            site.end_life, site.drop_sockets = self._over.set, self._drop_sockets
            site.stop_listening = lambda: [one.close() for one in server.servers]
            self._up.set()
            await self._over.wait()
            _abort(server)
            server.should_exit = server.force_exit = True
            await serving_it
        _abort(server)  # those that were taken meanwhile
        await asyncio.sleep(0)

    async def _drop_sockets(self) -> None:
        for send in list(self._open):
            with contextlib.suppress(Exception):
                await send({"type": "websocket.close"})

    def _gate(self, inner):
        """Let those through who are signed in; know the sockets that are open."""
        people = self.site.people

        async def application(scope, receive, send) -> None:
            if scope["type"] == "websocket":
                self._open.add(send)
                try:
                    await inner(scope, receive, send)
                finally:
                    self._open.discard(send)
                return
            path = scope["path"]
            is_open = people is None or path.startswith(("/api/auth/", "/socket.io/"))
            refusal = None if is_open else people.refusal(Request(scope).cookies.get("access_token"))
            if refusal is not None:
                words = {"success": False, "error": refusal, "code": "UNAUTHORIZED"}
                await JSONResponse(words, 401)(scope, receive, send)
                return
            await inner(scope, receive, send)

        return application


def _abort(server: uvicorn.Server) -> None:
    for connection in list(server.server_state.connections):
        connection.transport.abort()


def _sockets(site: Site) -> socketio.AsyncServer:
    sockets = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])

    @sockets.event
    async def connect(_sid, environ, _auth) -> None:
        await site.count("handshakes")
        cookies = dict(part.strip().split("=", 1) for part in environ.get("HTTP_COOKIE", "").split(";") if "=" in part)
        if site.refusals:
            site.refusals -= 1
            raise socketio.exceptions.ConnectionRefusedError("Authentication failed")
        refusal = None if site.people is None else site.people.refusal(cookies.get("access_token"))
        if refusal is not None:
            words = "Authentication failed" if "access_token" in cookies else "Authentication token required"
            raise socketio.exceptions.ConnectionRefusedError(words)

    @sockets.on("*")
    async def ask(name, _sid, data=None) -> object:
        """No request is ever acknowledged."""
        site.counts[f"socket {name}"] += 1
        job = site.jobs.get(data.get("jobId", "")) if isinstance(data, dict) else None
        if name == "export:cancel" and job is not None:
            await site.cancel(job)
        if name == "operation:cancel" and isinstance(data, dict):
            told = {"operationId": data.get("operationId"), "message": "Export cancelled by user"}
            await sockets.emit("operation:cancel-ack", {"success": True})
            await sockets.emit("export:cancelled", told)
        return sockets.not_handled

    return sockets


@contextlib.contextmanager
def serving(*, people: People | None = None, events: tuple[acts.Event, ...] = (), **knobs) -> Iterator[Production]:
    """Run the server in a thread of its own, its archives in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="production-") as folder:
        site = Site(shelf=Shelf(folder=Path(folder)), people=people, events=list(events), **knobs)
        production = Production(site=site)
        thread = threading.Thread(target=production.live, name="production")
        thread.start()
        try:
            production.wait()
            yield production
        finally:
            production.end()
            thread.join(30)
            assert not thread.is_alive()
