"""What may be wrong with a request for a socket, whatever session it is about, and how it is refused.

Numbers and words are the official implementation's; an upgrade is refused before it is one, with the same 400 and body
as any request.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Receive, Scope, Send
from websockets.http11 import Request
from websockets.server import ServerProtocol

from exportctl.server.auth import ACCESS_COOKIE, bearer, is_own_page

Problem = tuple[int, str]

SESSION_UNKNOWN: Final[Problem] = (1, "Session ID unknown")
BAD_REQUEST: Final[Problem] = (3, "Bad request")
NO_SOCKET: Final[Problem] = (3, "There is no socket at this path")
_TRANSPORT_UNKNOWN: Final[Problem] = (0, "Transport unknown")
_BAD_METHOD: Final[Problem] = (2, "Bad handshake method")
_FOREIGN: Final[Problem] = (3, "Not an accepted origin")
_SCRIPT: Final[Problem] = (3, "JSONP is not spoken here")
_BAD_VERSION: Final[Problem] = (5, "Unsupported protocol version")


def is_at(path: str, scope: Scope) -> bool:
    """Say whether a request is for the sockets, which are at `path`."""
    return f"{scope['path']}/".startswith(path)


def problem_of(scope: Scope, query: dict[str, list[str]]) -> Problem | None:
    """Return what is wrong with a request by itself; None where it may be about a session."""
    if not is_own_page(Headers(scope=scope)):
        return _FOREIGN
    wanted = "websocket" if scope["type"] == "websocket" else "polling"
    if query.get("transport") != [wanted]:
        return _TRANSPORT_UNKNOWN
    if query.get("EIO") != ["4"]:
        return _BAD_VERSION
    if "j" in query:
        # Scripts of other sites could read it; no client of Engine.IO 4 asks so.
        return _SCRIPT
    if scope["type"] == "http":
        method = scope["method"]
        if method not in {"GET", "POST", "OPTIONS"} or (method == "POST" and "sid" not in query):
            return _BAD_METHOD
    return None


def upgrade_problem(head: bytes) -> str | None:
    """Return in words what is wrong with the head of an upgrade: RFC 6455, 4.2; None for a good one.

    Asked before the upgrade, since of a head that the library does not read it says nothing, and waits for ever.
    """
    judge = ServerProtocol()
    judge.receive_data(head)
    asked = next((event for event in judge.events_received() if isinstance(event, Request)), None)
    if asked is not None:
        if not asked.path.isascii():
            return "the path is no ASCII"
        judge.accept(asked)
    return None if judge.handshake_exc is None else str(judge.handshake_exc)


def signs_of(environ: Mapping[str, Any], auth: object) -> tuple[str | None, str | None]:
    """Return the token and the access cookie of a handshake, whoever sends which."""
    token = auth.get("token") if isinstance(auth, dict) else None
    if not isinstance(token, str):
        token = bearer(environ.get("HTTP_AUTHORIZATION"))
    # By cookie from this server's own pages alone: others were refused above.
    return token, cookie_parser(environ.get("HTTP_COOKIE", "")).get(ACCESS_COOKIE)


async def refuse(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer with 400 and what is wrong."""
    code, message = problem
    if scope["type"] == "websocket":
        await receive()
        if problem == BAD_REQUEST:
            # As the official implementation: what is wrong is not the handshake.
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1002, "reason": message})
            return
    await answer(send, 400, json.dumps({"code": code, "message": message}).encode(), b"application/json", scope["type"])


async def answer(send: Send, status: int, body: bytes, kind: bytes, to: str = "http") -> None:
    """Answer a request of the kind `to`, `http` or `websocket`, as one of HTTP."""
    begin = "" if to == "http" else "websocket."
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{begin}http.response.start", "status": status, "headers": headers})
    await send({"type": f"{begin}http.response.body", "body": body})
