"""What every answer says, a refused handshake's too.

To clients: which protocol this server speaks. To browsers: take it as what it is called, show it in no frame, tell
nobody where it was. An answer that has a header of these already, the page's own policy for one, keeps it.
"""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROTOCOL_HEADER: Final = "Export-Protocol"
PROTOCOL: Final = "2"
HEADERS: Final = {
    PROTOCOL_HEADER: PROTOCOL,
    # An API has nothing to show; what is opened in a browser all the same may do nothing (CSP level 3).
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ONLY_TLS: Final = "max-age=31536000"
"""A year. Not for other names below this one, which are not ours."""
_HEADED: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


def secured(app: ASGIApp) -> ASGIApp:
    """Return the application, these headers in all its answers."""

    async def securing(scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] in _HEADED:
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] in {"https", "wss"}:
                    headers.setdefault("Strict-Transport-Security", _ONLY_TLS)
            await send(message)

        await app(scope, receive, headed)

    return securing
