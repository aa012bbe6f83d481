"""The ASGI application: Starlette's routes and the sockets around one engine."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import socketio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exportctl.server.answers import Refusal, on_fault, on_http_exception, on_refusal, on_unkept, refused
from exportctl.server.auth import Guard
from exportctl.server.connections import most_connections
from exportctl.server.crowd import Crowd
from exportctl.server.doorway import Doorway
from exportctl.server.engine import Engine
from exportctl.server.folder_store import FolderStore, folder_in
from exportctl.server.log import LogFullError, LogUnusableError
from exportctl.server.meters import Meters
from exportctl.server.people.people import People, opened
from exportctl.server.pool import Pool
from exportctl.server.routes import auth, download, events, exports, health, metrics, page, projects
from exportctl.server.routes.openapi import described
from exportctl.server.security import secured
from exportctl.server.settings import Settings
from exportctl.server.site import Site
from exportctl.server.sockets import Sockets
from exportctl.server.sqlite_log import SqliteLog
from exportctl.server.tickets import Tickets, key_in
from exportctl.server.tracing import traced

_ROUTES = (auth, health, metrics, projects, exports, events, download, page)

_STARTING = 5.0
"""Seconds that workers may take to start while the server ends."""


def build_app(site: Site, sockets: Sockets) -> ASGIApp:
    """Put routes and sockets together."""
    starlette = Starlette(
        routes=described([route for module in _ROUTES for route in module.routes(site)]),
        exception_handlers={
            Refusal: on_refusal,
            HTTPException: on_http_exception,
            LogFullError: on_unkept,
            LogUnusableError: on_unkept,
            sqlite3.Error: on_unkept,
            Exception: on_fault,
        },
    )
    both = socketio.ASGIApp(sockets.server, other_asgi_app=site.crowd.counted(site.meters.measured(starlette)))
    doorway = Doorway(sockets.server.eio, both, "/socket.io/")
    return traced(secured(_let_go(_unslashed(doorway))), site.settings.new_id)


def _let_go(app: ASGIApp) -> ASGIApp:
    """Return the application, a request that it takes back while the server ends answered in words.

    Uvicorn, which takes it back, would answer that the server made a mistake.
    """

    async def letting_go(scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await app(scope, receive, noted)
        except asyncio.CancelledError:
            if scope["type"] == "http" and not is_answered:
                headers = {"Retry-After": "1", "Connection": "close"}
                refusal = Refusal(503, "SERVER_STOPPING", "The server is being stopped", "Ask again", headers)
                await refused(refusal)(scope, receive, send)
            raise

    return letting_go


def _unslashed(app: ASGIApp) -> ASGIApp:
    """Return the application, a slash behind a path of the API as if it were not there: protocol 1 took such.

    Starlette would lead a client elsewhere, to a place that is none below a path of a proxy.
    """

    async def unslashing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            scope["path"] = scope["path"].rstrip("/")  # in place: what the routes note in it is read outside
        await app(scope, receive, send)

    return unslashing


@asynccontextmanager
async def open_app(settings: Settings, stop: asyncio.Event | None = None) -> AsyncIterator[ASGIApp]:
    """Open the log, the pool and the engine, yield the application, and close them in the other order.

    When `stop` is set, those who are connected are told so.

    A context manager instead of ASGI's lifespan, because a fault at the start is told to a person as what it is; raises
    LogUnusableError, PeopleUnusableError.
    """
    with opened(settings) as people:
        async with _opened_parts(settings, people) as site:
            sockets = Sockets(site)
            if stop is not None:
                sockets.tell_of(stop)
            try:
                yield build_app(site, sockets)
            finally:
                await sockets.close()


@asynccontextmanager
async def _opened_parts(settings: Settings, people: People | None) -> AsyncIterator[Site]:
    log = SqliteLog(settings.state / "events.sqlite3", settings.clocks.now)
    try:
        await log.open()
        pool = Pool(settings.workers)
        archives = FolderStore(folder_in(settings.state))
        engine = Engine(settings, log, pool, archives)
        await engine.open()
        # The first job would wait for this; the first request need not.
        warming, watching = asyncio.create_task(pool.warm()), asyncio.create_task(pool.watch())
        meters = Meters(engine, pool, lambda: log.appended, clock=settings.clocks.now)
        guard = Guard(settings.tokens, people)
        try:
            yield Site(
                settings=settings,
                log=log,
                archives=archives,
                pool=pool,
                engine=engine,
                guard=guard,
                tickets=Tickets(key_in(settings.state / "tickets.key"), settings.clocks.now),
                people=people,
                meters=meters,
                crowd=Crowd(most_connections() // 4),
            )
        finally:
            # A worker that loses its server while it starts complains aloud; one that never starts is not waited for.
            await asyncio.wait([warming], timeout=_STARTING)
            await engine.close()
            for task in (warming, watching):
                task.cancel()
            await asyncio.gather(warming, watching, return_exceptions=True)
    finally:
        await log.close()
