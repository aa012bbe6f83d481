"""Run a server: bind, say where it listens, and end within about two seconds whatever its clients hold open.

`serve` is the one way, for `exportctl serve` and for the embedded child alike. What it says goes to standard error
(`logs.py`).
"""

import asyncio
import contextlib
import gc
import logging
import shutil
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from exportctl.server.app import open_app
from exportctl.server.certificates import Certificate
from exportctl.server.connections import Connection, most_connections, raise_limit
from exportctl.server.log import LogUnusableError
from exportctl.server.logs import facts, log_to_stderr
from exportctl.server.people.database import PeopleUnusableError
from exportctl.server.preconditions import address_of, alone, bound, check_folder, make_state, unusable
from exportctl.server.semaphores import clear_semaphores
from exportctl.server.settings import Settings
from exportctl.server.tls import TlsConnection

logger = logging.getLogger(__name__)

_GRACE = 1
"""How often, and after how many seconds, it is looked whether another server has left the state folder."""
_LARGEST_PACKET = 1_000_000
_CLOSE_SECONDS = 2.0
"""How long a peer may take to say that a socket is closed."""


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, when the terminal is gone; raises StartError.

    `on_ready` is called with the URL once it accepts.
    """
    log_to_stderr(settings.logging)
    collect_seldom()
    raise_limit()

    async def main() -> None:
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            signals.append(signal.SIGHUP)
        await run(settings, on_ready, asyncio.Event(), signals=signals)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def collect_seldom() -> None:
    """Have Python look for cycles seldom: it walked all that a thousand followers hold, every few hundred events."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def run(
    settings: Settings,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    *,
    signals: Sequence[signal.Signals] = (),
) -> None:
    """Serve in this loop until `stop` is set or one of `signals` comes; raises StartError."""
    for project in settings.projects if settings.checks_folders else ():
        check_folder(project.folder)
    with contextlib.ExitStack() as end:
        if settings.ephemeral:
            end.callback(shutil.rmtree, settings.state, ignore_errors=True)
        make_state(settings.state)
        clear_semaphores()
        certificate = None if settings.tls is None else Certificate(settings.tls)
        listening = end.enter_context(bound(settings))
        end.enter_context(_signals_set(stop, signals))
        async with alone(settings.state), _opened(settings, stop) as app:
            server = _Server(_configuration(app, settings, certificate), stop)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            if certificate is not None:
                keeping = asyncio.create_task(certificate.keep())
                end.callback(keeping.cancel)
            await server.accepting(serving)
            if not serving.done():
                address = address_of(settings, listening)
                logger.info("The server listens", extra=facts(event="server-started", address=address))
                on_ready(address)
            await serving
            logger.info("The server stops; jobs without an end are parked", extra=facts(event="server-stopping"))


@contextlib.asynccontextmanager
async def _opened(settings: Settings, stop: asyncio.Event) -> AsyncIterator[ASGIApp]:
    async with contextlib.AsyncExitStack() as end:
        try:
            app = await end.enter_async_context(open_app(settings, stop))
        except (LogUnusableError, PeopleUnusableError, sqlite3.Error) as error:
            raise unusable(settings.state, error) from error
        except OSError as error:
            # Others are not the folder's: of the semaphores of workers, for one.
            if error.filename is None or not Path(error.filename).is_relative_to(settings.state):
                raise
            raise unusable(settings.state, error) from error
        yield app


@contextlib.contextmanager
def _signals_set(stop: asyncio.Event, signals: Sequence[signal.Signals]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def hear(one: signal.Signals) -> None:
        stop.set()
        if one is signal.SIGINT:
            # Who presses Ctrl-C again does not want to wait; nothing is lost by that.
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)

    for one in signals:
        loop.add_signal_handler(one, hear, one)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


class _PatientSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose peer takes nothing for `stall` seconds is cut: `close` would wait for it to read."""

    stall: float = 30
    _cut: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.close_timeout = _CLOSE_SECONDS

    def pause_writing(self) -> None:
        """Note that the peer does not keep up."""
        super().pause_writing()
        self._cut = self.loop.call_later(self.stall, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it does."""
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self._forgive()
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        """Note that a refused upgrade was answered: uvicorn takes it for one without an answer, and logs an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Wait no longer for a peer that was told of the end: over TLS it would have to agree to it."""
        super().on_task_complete(task)
        self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)

    def _forgive(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, that ends when `stop` is set."""

    def __init__(self, configuration: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(configuration)
        self._stop = stop
        self._ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, and say so."""
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        """Serve until told to stop; the header Date is kept as uvicorn does."""
        ticker = asyncio.create_task(super().main_loop())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([ticker, stopping], return_when=asyncio.FIRST_COMPLETED)
        self.should_exit = True
        stopping.cancel()
        await ticker
        # From here on answers are cut short on purpose: that is not worth a line.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)

    async def accepting(self, serving: asyncio.Task[None]) -> None:
        """Wait until it accepts, or has failed."""
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()


def _configuration(app: ASGIApp, settings: Settings, certificate: Certificate | None) -> uvicorn.Config:
    class Socket(_PatientSocket):
        """One that knows this server's patience."""

    Socket.stall = settings.stall
    return uvicorn.Config(
        app,
        http=_kind_of_connection(settings, certificate),
        ws=Socket,
        ws_max_size=_LARGEST_PACKET,
        ws_per_message_deflate=settings.compress,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # A proxy on this machine says who asks, and whether by https: cookies and the limits of sign-in need it.
        proxy_headers=True,
        # Whoever reaches a unix socket was let to it by its owner.
        forwarded_allow_ips="*" if settings.unix_socket else "127.0.0.1,::1",
        timeout_graceful_shutdown=_GRACE,
    )


def _kind_of_connection(settings: Settings, certificate: Certificate | None) -> type[Connection]:
    its: dict[str, Any] = {
        "head_seconds": settings.head_seconds,
        "patience": settings.patience,
        "most": most_connections(),
        "silent": {},
        "stalled": {},
    }
    if certificate is None:
        return type("ServersConnection", (Connection,), its)
    return type("ServersConnection", (TlsConnection,), its | {"context": certificate.context})
