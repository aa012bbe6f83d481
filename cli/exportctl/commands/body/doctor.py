"""The checks of `doctor`, one after the other; each is told as it ends, and one that fails keeps no other from it."""

import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, TypeAlias

from exportctl.client import catalogue, probe
from exportctl.client.api import Api
from exportctl.client.http import Server, proxy_of
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.edges import put
from exportctl.commands.body.memory import open_memory
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, settings_of
from exportctl.commands.options import Connection, Shared
from exportctl.config import config_file, state_folder, unknown_words
from exportctl.model.errors import ExportctlError, NotFound, Unwell
from exportctl.model.lines import CheckRow, Outcome
from exportctl.output import amounts
from exportctl.output.safe import first_line

_LEAST_BYTES: Final = 1_000_000_000
_CLOCK_SECONDS: Final = 60.0
_COLUMNS: Final = 500
Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
_Found: TypeAlias = tuple[Status, str, str | None]


def doctor(*, shared: Shared, connection: Connection) -> int:
    """Check everything; return 0, or 7 where a check failed."""

    async def body(session: Session, settings: Settings) -> int:
        rows = []
        async for row in _rows(session, settings, connection):
            session.tell(row)
            if not shared.ndjson:
                put(_words(row))  # at once: the next check may take half a minute
            rows.append(row)
        failed = [row.name for row in rows if row.status == "failed"]
        if failed:
            return session.fail(Unwell(f"not well: {', '.join(failed)}", hint="see the hint at each of them"))
        return session.conclude(session.report, Outcome.OK, 0)

    return conduct(
        "doctor", shared, lambda: settings_of(connection), body, has_progress=False, memory=open_memory(shared)
    )


def _words(row: CheckRow) -> list[str]:
    lines = [f"{row.status:<8} {row.name:<14} {first_line(row.message, limit=_COLUMNS)}"]
    if row.hint is not None:
        lines.append(f"{'':<8} {'':<14} hint: {first_line(row.hint, limit=_COLUMNS)}")
    return lines


async def _rows(session: Session, settings: Settings, connection: Connection) -> AsyncIterator[CheckRow]:
    for name, look in (("configuration", _configuration), ("state", _state), ("disk", _disk)):
        yield await _checked(name, _at_once(look, session))
    if settings.server is None:
        yield await _checked("embedded", _at_once(_embedded, session))
        return
    yield await _checked("proxy", _at_once(lambda _: _proxy(settings.server or ""), session))
    async with reached(session, settings) as api:
        met = await _checked("server", lambda: _server(api, settings.server or ""))
        yield met
        steps: list[tuple[str, Callable[[], Awaitable[_Found]]]] = [
            ("clock", lambda: _clock(api)),
            ("sign-in", lambda: _sign_in(api)),
            ("streaming", lambda: _streaming(api)),
        ]
        # Silence is tried once, where it matters: on the socket, and on a poll where there is none.
        is_open = False
        server = Server(url=api.url, correlation_id=session.correlation_id, token=settings.token)
        for name, wanted, step in (
            ("socket", connection.transport != "polling", lambda: _socket(api, server)),
            ("polling", connection.transport != "socket", lambda: _polling(api, server, is_silent=not is_open)),
        ):
            if wanted:
                steps.append((name, step))
        for name, check in steps:
            session.waiting_for = "the server"
            if met.status == "failed":
                yield CheckRow(name=name, status="skipped", message="no server to ask", hint=None, seconds=None)
            else:
                found = await _checked(name, check)
                is_open |= name == "socket" and found.status == "ok"
                yield found


def _at_once(look: Callable[[Session], _Found], session: Session) -> Callable[[], Awaitable[_Found]]:
    async def check() -> _Found:
        return look(session)

    return check


async def _checked(name: str, check: Callable[[], Awaitable[_Found]]) -> CheckRow:
    began = time.monotonic()
    try:
        status, message, hint = await check()
    except probe.Wrong as wrong:
        status, message, hint = "warning" if wrong.is_bearable else "failed", str(wrong), wrong.hint
    except ExportctlError as error:
        status, message, hint = "failed", error.message, error.hint
    return CheckRow(name=name, status=status, message=message, hint=hint, seconds=round(time.monotonic() - began, 3))


def _configuration(_session: Session) -> _Found:
    path = config_file()
    unknown = unknown_words()
    if unknown:
        return "warning", f"{path}: {'; '.join(unknown)}", "a profile has server, token, token_file and ca_bundle"
    return "ok", f"{path}{'' if path.exists() else ' (not there: nothing needs it)'}", None


def _state(session: Session) -> _Found:
    folder = None if session.shared.no_state else state_folder()
    if folder is None:
        return "skipped", "nothing is kept on this machine", None
    if not session.memory.is_kept():
        return "warning", f"{folder} cannot be used", "check its permissions, or the free space there"
    return "ok", str(folder), None


def _disk(session: Session) -> _Found:
    folder = None if session.shared.no_state else state_folder()
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return "warning", "the folder that this command was called in is gone", "cd to another"
    places = [here, *([folder] if folder is not None and folder.exists() else [])]
    free = min((shutil.disk_usage(place).free for place in places), default=0)
    said = f"{amounts.size(free)} free in {places[0]}"
    if not os.access(places[0], os.W_OK):
        return "warning", f"{places[0]} cannot be written to", "name another place with -o"
    if free < _LEAST_BYTES:
        return "warning", said, "archives need as much again as their images: free some space"
    return "ok", said, None


def _embedded(_session: Session) -> _Found:
    lacking = [name for name in ("starlette", "socketio", "uvicorn", "cv2") if find_spec(name) is None]
    if lacking:
        return (
            "failed",
            "no server is configured, and the embedded one is not installed",
            "pip install 'exportctl[server]'",
        )
    return "ok", "no server is configured: folders are exported on this machine", None


def _proxy(server: str) -> _Found:
    proxy = proxy_of(server)
    if proxy is None:
        return "ok", "the server is asked directly", None
    hint = "NO_PROXY=HOST leaves it out" if server.startswith("http://") else None
    status: Status = "warning" if hint else "ok"
    lost = "; a plain http one usually loses the upgrade to a socket" if hint else ""
    return status, f"the environment's proxy {proxy} is used{lost}", hint


async def _server(api: Api, url: str) -> _Found:
    began = time.monotonic()
    try:
        await api.meet()
    except ExportctlError as error:
        if error.answered is None or api.protocol is None:
            raise
    took = amounts.duration(time.monotonic() - began)
    return "ok", f"{url} answers in {took}, protocol {api.protocol}", None


async def _clock(api: Api) -> _Found:
    ahead = await probe.clock(api.http, "/api/export/formats")
    if ahead is None:
        return "skipped", "the server tells no time", None
    if abs(ahead) > _CLOCK_SECONDS:
        word = "ahead of" if ahead > 0 else "behind"
        said = f"this machine's clock is {amounts.duration(abs(ahead))} {word} the server's"
        return "warning", said, "sign-ins and tokens end at the wrong time: set the clock (timedatectl set-ntp true)"
    return "ok", "the clocks agree", None


async def _sign_in(api: Api) -> _Found:
    try:
        email = await catalogue.user(api)
    except NotFound:
        await api.ask("GET", "/api/projects", what="the list of projects", params={"page": 1, "limit": 1})
        return "ok", "the server takes the token", None
    return "ok", f"signed in as {email or 'a user whose name the server does not tell'}", None


async def _socket(api: Api, server: Server) -> _Found:
    opened, silent = await probe.socket(api.http, server)
    return "ok", f"open in {amounts.duration(opened)}, and still after {silent:.0f} s until the server's ping", None


async def _streaming(api: Api) -> _Found:
    apart = await probe.streaming(api.http, api.url)
    if apart is None:
        return "skipped", "the server sends nothing in pieces on demand", None
    return "ok", "answers come as they are written", None


async def _polling(api: Api, server: Server, *, is_silent: bool) -> _Found:
    took, silent = await probe.polling(api.http, server, is_silent=is_silent)
    held = "" if silent is None else f", and held for {silent:.0f} s until the server's ping"
    return "ok", f"a session is opened and used in {amounts.duration(took)}{held}", None
