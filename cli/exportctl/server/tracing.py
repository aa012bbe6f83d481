"""Every request has an id, its own or one made here, and what it begins is found again by it.

`X-Request-ID` names one request, `X-Correlation-ID` what a command does with many of them; each is taken where it is
sent as a plain word, answered in a header of the same name, and stands in the server's log. Without a correlation id
the request's own is the job's.
"""

import logging
import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from exportctl.server.logs import ABOUT, ACCESS, about, facts
from exportctl.server.sending import ZERO_COPY

REQUEST_ID: Final = "x-request-id"
CORRELATION_ID: Final = "x-correlation-id"
_WORD: Final = re.compile(r"[!-~]{1,200}")
_NO_ANSWER: Final = 499
"""What nginx writes for a client that was gone before its answer."""


def traced(app: ASGIApp, new_id: Callable[[], str]) -> ASGIApp:
    """Return the application, its requests known by ids and said in the access log."""

    async def tracing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await app(scope, receive, send)
            return
        request = _word(scope, REQUEST_ID) or new_id()
        correlation = _word(scope, CORRELATION_ID) or request
        about(requestId=request, correlationId=correlation)
        given = [(REQUEST_ID.encode(), request.encode()), (CORRELATION_ID.encode(), correlation.encode())]
        began, status, sent = time.perf_counter(), _NO_ANSWER, 0

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status, sent
            match message["type"]:
                case "http.response.start" | "websocket.http.response.start":
                    status = message["status"]
                    message = {**message, "headers": [*message.get("headers", ()), *given]}
                case "http.response.body" | "websocket.http.response.body":
                    sent += len(message.get("body", b""))
                case _ if message["type"] == ZERO_COPY:
                    sent += message["count"]
                case "websocket.accept":
                    status = 101
                case "websocket.close" if status == _NO_ANSWER:
                    status = 403
            await send(message)

        try:
            await app(scope, receive, noted)
        finally:
            _say(scope, status, sent, time.perf_counter() - began)

    return tracing


def request_id() -> str | None:
    """Return the id of the request at hand; None outside one."""
    return ABOUT.get().get("requestId")


def correlation_id() -> str | None:
    """Return what the request at hand belongs to; None outside one."""
    return ABOUT.get().get("correlationId")


def _say(scope: Scope, status: int, sent: int, seconds: float) -> None:
    if not ACCESS.isEnabledFor(logging.INFO):
        return
    method = scope.get("method", "WEBSOCKET")
    known = facts(
        event="request",
        method=method,
        # The path alone: a query may hold a token.
        path=scope.get("path", ""),
        route=getattr(scope.get("endpoint"), "__name__", None),
        status=status,
        seconds=round(seconds, 6),
        bytes=sent,
        user=scope.get("exportctl.user"),
        client=(scope.get("client") or (None,))[0],
    )
    ACCESS.info("%s %s %s", method, scope.get("path", ""), status, extra=known)


def _word(scope: Scope, name: str) -> str | None:
    """Return a header that is one printable word; anything else is as if it were not there."""
    for key, value in scope["headers"]:
        if key.lower() == name.encode():
            text: str = value.decode("latin-1").strip()
            return text if _WORD.fullmatch(text) else None
    return None
