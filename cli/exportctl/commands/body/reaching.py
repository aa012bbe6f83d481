"""Open the way to a command's server: the configured one, or the embedded one on this machine."""

import os
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from exportctl.client.api import Api
from exportctl.client.embedded import embedded_server
from exportctl.client.http import Server, open_client
from exportctl.client.jar import Jar
from exportctl.client.parking import Place, find_place, make_place, prune
from exportctl.client.signin import SignIn
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings
from exportctl.config import session_file, state_folder
from exportctl.model.errors import ExportctlError, NotFound
from exportctl.model.lines import ConnectionChanged, Log
from exportctl.output.masking import masked
from exportctl.store.parked import is_parked, parked_name, parked_server


@asynccontextmanager
async def reached(session: Session, settings: Settings) -> AsyncIterator[Api]:
    """Open the API of the configured server, or of the one that a parked job is with."""
    if settings.server is None:
        raise AssertionError("a command that reaches a server has checked that there is one")
    if is_parked(settings.server):
        async with _parked(session, settings.server) as api:
            yield api
        return
    server = Server(
        url=settings.server,
        correlation_id=session.correlation_id,
        token=settings.token,
        ca_bundle=settings.ca_bundle,
        insecure=settings.insecure,
    )
    async with opened(session, server) as api:
        if server.token is not None:
            yield api
            return
        signin = sign_in_of(session, settings, api.http)
        signin.use()
        api.renew = signin.renew
        try:
            yield api
        finally:
            await signin.close()


def sign_in_of(session: Session, settings: Settings, http: httpx.AsyncClient) -> SignIn:
    """Return the sign-in to the configured server: by what is kept for the profile, or by the environment's words."""
    if settings.server is None:
        raise AssertionError("a command that signs in has checked that there is a server")
    path = None if session.shared.no_state else session_file(settings.profile)

    if settings.credentials is not None:
        session.secrets.add(settings.credentials.password)

    def tell(code: str, message: str) -> None:
        session.tell(Log(level="warning", code=code, message=message))

    return SignIn(
        http=http,
        url=settings.server,
        jar=None if path is None else Jar(path=path, url=settings.server),
        credentials=settings.credentials,
        hint=_sign_in_hint(settings),
        tell=tell,
    )


def _sign_in_hint(settings: Settings) -> str:
    """Return how to sign in: the command, unless the environment wants to and lacks one of its two words."""
    halves = {name: bool(os.environ.get(name, "").strip()) for name in ("EXPORTCTL_EMAIL", "EXPORTCTL_PASSWORD")}
    if any(halves.values()) and not all(halves.values()):
        there, missing = sorted(halves, key=halves.__getitem__, reverse=True)
        return f"{there} is set, {missing} is not: set both"
    profile = "" if settings.profile == "default" else f" --profile {shlex.quote(settings.profile)}"
    return f"exportctl login --server {shlex.quote(settings.server or 'URL')}{profile}"


@asynccontextmanager
async def embedded(session: Session, project: Mapping[str, object], place: Place) -> AsyncIterator[Api]:
    """Start the embedded server on one project (see `target.embedded_project`) in `place` and open its API."""
    async with _embedded(session, place, project) as api:
        yield api


def place_for(session: Session) -> Place:
    """Make the folder of an embedded run: where later commands find its job, if this machine keeps what it knows."""
    home = parked_home(session)
    if home is not None:
        prune_parked(session)
    return make_place(home if session.memory.is_kept() else None)


def parked_home(session: Session) -> Path | None:
    """Return the folder of all that is parked here, None where nothing is kept."""
    state = None if session.shared.no_state else state_folder()
    return None if state is None else state / "embedded"


def prune_parked(session: Session) -> None:
    """Free the disk of what was parked and is done with, or was forgotten."""
    home = parked_home(session)
    if home is not None and session.memory.is_kept():
        prune(home, lambda name: session.memory.keeps_parked(parked_server(name)))


@asynccontextmanager
async def _parked(session: Session, server: str) -> AsyncIterator[Api]:
    """Start the embedded server again on what is parked here, or reach the one that another command has started."""
    home, name = parked_home(session), parked_name(server)
    place = None if home is None else find_place(home, name)
    if place is None:
        raise NotFound("what was parked here is gone", hint="exportctl run makes a new one")
    async with _embedded(session, place, None) as api:
        yield api


@asynccontextmanager
async def _embedded(session: Session, place: Place, project: Mapping[str, object] | None) -> AsyncIterator[Api]:
    def keeps() -> bool:
        return place.is_lasting and session.memory.keeps_parked(parked_server(place.folder.name))

    async with embedded_server(place, project, keeps=keeps) as address:
        server = Server(url=address.url, correlation_id=session.correlation_id, token=address.token)
        async with opened(session, server) as api:
            yield api


@asynccontextmanager
async def opened(session: Session, server: Server) -> AsyncIterator[Api]:
    """Open a server's API; requests that are made again are lines, with -v every answer is a message."""
    async with open_client(server) as http:
        api = Api(http=http, server=server)
        session.secrets |= {server.token} if server.token else set()

        def retrying(error: ExportctlError, attempt: int, wait: float) -> None:
            session.tell(
                ConnectionChanged(
                    state="reconnecting",
                    protocol=api.protocol,
                    reason=error.message,
                    attempt=attempt,
                    retry_in=round(wait, 1),
                )
            )

        async def answered(response: httpx.Response) -> None:
            # The path alone: a query may hold a download token.
            session.say_now(f"{response.request.method} {response.request.url.path} {response.status_code}")

        def led(plain: str, secure: str) -> None:
            words = f"{plain} sends on to {secure}, which is used from here on"
            session.tell(Log(level="warning", code="redirected", message=words))

        api.on_retry, http.on_tls = retrying, led
        if session.shared.verbose:
            http.event_hooks["response"].append(answered)
        if session.shared.verbose > 1:
            api.on_frame = lambda way, frame: session.say_now(f"{way} {masked(frame, session.secrets)}")
        yield api
