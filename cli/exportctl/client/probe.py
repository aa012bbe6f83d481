"""Probes of the way to a server, one question each, for people who ask what is wrong with it.

A proxy in between is known by what it does: it answers an upgrade with a page, closes a silent socket or a silent
request before the server's ping, holds an answer back until it is whole, hands a polling session to a server that does
not know it, or adds an Origin that the server refuses.
"""

import asyncio
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import httpx_ws

from exportctl.client import failures
from exportctl.client.http import Server
from exportctl.client.socket import SocketLost, open_socket
from exportctl.protocol import engineio
from exportctl.protocol.errors import ProtocolError

_SOCKET: Final = "/socket.io/"
_POLLING: Final = {"EIO": "4", "transport": "polling"}
_PING: Final = "2"
_LATE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 1
_ROUNDS: Final = 3
"""Polling sessions that are tried: of two servers behind one name each gets one of them, very likely."""
_LET_BY: Final = "check that /socket.io/ is passed on to the server"
UPGRADE: Final = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
IDLE: Final = (
    "raise the proxy's idle time-out above the ping interval (nginx: proxy_read_timeout 120s;), or ping more often "
    "(exportctl serve --ping-interval)"
)
STICKY: Final = "make the balancer sticky (nginx: ip_hash;), or use --transport auto, which needs no polling session"
ORIGIN: Final = "have the proxy pass the request without an Origin, or have the server allow that one"
BUFFERED: Final = "turn the proxy's buffering off (nginx: proxy_buffering off; proxy_request_buffering off;)"


class Wrong(Exception):
    """What a probe found, with what to do about it; `is_bearable` where exports work all the same."""

    def __init__(self, message: str, hint: str, *, is_bearable: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.is_bearable = is_bearable


async def clock(http: httpx.AsyncClient, path: str) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the server's; None where it tells no time."""
    began = time.time()
    try:
        response = await http.get(path)
    except httpx.HTTPError as error:
        raise failures.from_transport(error, str(http.base_url)) from error
    said = response.headers.get("Date")
    try:
        moment = parsedate_to_datetime(said) if said else None
    except ValueError:
        return None
    middle = datetime.fromtimestamp((began + time.time()) / 2, UTC)
    return None if moment is None else (middle - moment).total_seconds()


async def socket(http: httpx.AsyncClient, server: Server) -> tuple[float, float]:
    """Open a socket and let it be silent until the server's ping; return seconds to open it, and of the silence.

    Raises `Wrong`, and whatever keeps the sign-in from it.
    """
    began = time.monotonic()
    try:
        async with open_socket(http, server) as found:
            opened = time.monotonic() - began
            handshake = found.machine.handshake
            interval = 25.0 if handshake is None else handshake.ping_interval
            silent = time.monotonic()
            try:
                async with asyncio.timeout(interval + _LATE_SECONDS):
                    while _PING not in await found.web_socket.receive_messages(interval + _LATE_SECONDS):
                        pass
            except TimeoutError as error:
                raise Wrong(f"no ping of the server within {interval + _LATE_SECONDS:.0f} s", BUFFERED) from error
            except httpx_ws.HTTPXWSException as error:
                after = time.monotonic() - silent
                said = f"closed after {after:.0f} s of silence, before the server's ping at {interval:.0f} s"
                raise Wrong(said, IDLE) from error
            return opened, time.monotonic() - silent
    except SocketLost as error:
        raise await _why_no_socket(http, str(error)) from error


async def _why_no_socket(http: httpx.AsyncClient, said: str) -> Wrong:
    """Return what stands between: the same request without the upgrade tells the server's answer from a proxy's.

    A server that refuses the Origin says so to a poll, and may say nothing but 403 to an upgrade.
    """
    try:
        response = await http.get(_SOCKET, params={"EIO": "4", "transport": "websocket"})
        polled = await http.get(_SOCKET, params=_POLLING)
    except httpx.HTTPError:
        return Wrong(said, _LET_BY)
    if any("origin" in answer.text.lower() for answer in (response, polled)):
        return Wrong(f"{said}; the server refuses the Origin", ORIGIN)
    if response.status_code in {400, 426} and "answer to the upgrade" in said:
        return Wrong(f"{said}; a proxy seems to strip the upgrade's headers", UPGRADE)
    if response.status_code in {400, 426}:
        # The server is reached, and the socket alone is mute.
        return Wrong(f"{said}; a proxy seems to hold back what is said, or the upgrade", f"{BUFFERED} {UPGRADE}")
    return Wrong(said, f"{_LET_BY}, with its upgrade: {UPGRADE}")


async def streaming(http: httpx.AsyncClient, url: str) -> float | None:
    """Ask for an answer in two pieces; return the seconds between them, None of a server that gives none such.

    Raises `Wrong` where both come at once, and `ExportctlError`.
    """
    began = time.monotonic()
    first: float | None = None
    try:
        async with http.stream("GET", "/api/health", params={"pause": _PAUSE_SECONDS}) as response:
            pause = response.headers.get("Export-Pause")
            async for _ in response.aiter_raw():
                first = first or time.monotonic()
    except httpx.HTTPError as error:
        raise failures.from_transport(error, url) from error
    took = time.monotonic() - began
    if pause is None or first is None:
        return None
    apart = took - (first - began)
    if apart < _PAUSE_SECONDS / 2 <= took:
        said = "an answer is held back until it is whole: archives that are sent while they are made come late"
        raise Wrong(said, BUFFERED, is_bearable=True)
    return apart


async def polling(http: httpx.AsyncClient, server: Server, *, is_silent: bool = False) -> tuple[float, float | None]:
    """Open polling sessions and use each; with `is_silent` wait in the last for the server's ping.

    Return the seconds of one, and of the silence. Raises `Wrong` or `ExportctlError`.
    """
    began = time.monotonic()
    silent = 0.0
    try:
        for left in reversed(range(_ROUNDS)):
            session, interval = await _session(http, server)
            if is_silent and not left:
                silent = await _silence(http, session, interval)
            await http.post(_SOCKET, params=session, content="1")
    except httpx.HTTPError as error:
        raise failures.from_transport(error, server.url) from error
    return (time.monotonic() - began - silent) / _ROUNDS, silent if is_silent else None


async def _silence(http: httpx.AsyncClient, session: dict[str, str], interval: float) -> float:
    """Hold a poll until the server's ping; return its seconds."""
    began = time.monotonic()
    status = 0
    try:
        answered = await http.get(_SOCKET, params=session, timeout=interval + _LATE_SECONDS)
        status = answered.status_code
    except httpx.ReadTimeout as error:
        raise Wrong(f"a poll is not answered within {interval + _LATE_SECONDS:.0f} s", BUFFERED) from error
    except (httpx.RemoteProtocolError, httpx.ReadError):
        pass
    took = time.monotonic() - began
    if status == httpx.codes.OK:
        return took
    said = "closed" if not status else f"answered with {status}"
    raise Wrong(f"a silent poll is {said} after {took:.0f} s, before the server's ping at {interval:.0f} s", IDLE)


async def _session(http: httpx.AsyncClient, server: Server) -> tuple[dict[str, str], float]:
    """Open one and use it; return what its requests name, and the seconds between the server's pings."""
    opened = await http.get(_SOCKET, params=_POLLING)
    if not opened.is_success or not opened.text.startswith("0{"):
        hint = ORIGIN if "origin" in opened.text.lower() else _LET_BY
        raise Wrong(f"no polling session: the answer was {opened.status_code}", hint)
    try:
        handshake = engineio.read_handshake(opened.text[1:])
    except ProtocolError as error:
        raise Wrong(f"no polling session: {error}", _LET_BY) from error
    session = {**_POLLING, "sid": handshake.sid}
    auth = '{"token":"' + server.token + '"}' if server.token else ""
    sent = await http.post(_SOCKET, params=session, content=f"40{auth}")
    if not sent.is_success:
        raise Wrong(f"a polling session was forgotten at once: {sent.status_code}; there is no stickiness", STICKY)
    answered = await http.get(_SOCKET, params=session)
    if not answered.is_success:
        raise Wrong(f"a polling session was forgotten at once: {answered.status_code}; there is no stickiness", STICKY)
    return session, handshake.ping_interval
