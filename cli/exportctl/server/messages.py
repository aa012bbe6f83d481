"""Messages of ASGI on their way: a body read whole, one given again, an answer refused in our words."""

import asyncio
import contextlib
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from exportctl.server.handshakes import SESSION_UNKNOWN, refuse

LARGEST_BODY: Final = 1_000_000
"""Bytes of one POST: `maxPayload` of the handshake."""
BODY_SECONDS: Final = 20.0
"""How long a body may take to come."""
_OK: Final = 200


async def body_of(receive: Receive) -> bytes | None:
    """Read a body; None if it is too large, takes too long, or its client is gone."""
    body = bytearray()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > LARGEST_BODY:
                    return None
                if not message.get("more_body", False):
                    return bytes(body)
    return None


def numbered(scope: Scope, receive: Receive, send: Send) -> Send:
    """Return a `send` that refuses as all others do: of what has just ended the library has a text without a number."""
    is_refused = False

    async def sending(message: Message) -> None:
        nonlocal is_refused
        if message["type"] == "http.response.start":
            is_refused = message["status"] != _OK
        if not is_refused:
            await send(message)
        elif message["type"] == "http.response.body":
            await refuse(scope, receive, send, SESSION_UNKNOWN)

    return sending


def to_socket(send: Send) -> Send:
    """Return a `send` that says over a websocket what is meant for it."""

    async def sending(message: Message) -> None:
        if message["type"] == "websocket.close":
            # Without a number, which clients see as 1005: so did protocol 1.
            await send({**message, "code": None})
        elif message.get("text") != "6":
            # That ended the last poll, and is sent again behind the upgrade.
            await send(message)

    return sending


def once(first: Message, receive: Receive) -> Receive:
    """Return a `receive` that gives a message that was received already, then the others."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return first

    return receive_again


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
