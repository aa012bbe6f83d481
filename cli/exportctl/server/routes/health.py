"""Whether the server is ready, and each of its parts; in two pieces where it is asked whether they come as such."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from exportctl import __version__
from exportctl.server import bodies
from exportctl.server.answers import PAUSE_HEADER, answer, number_of
from exportctl.server.contract import Endpoint, Header, Parameter, Promise
from exportctl.server.site import Site

_LONGEST_PAUSE: Final = 1
_LEAST: Final = 64 << 20
"""Bytes without which no job is worth beginning."""


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def health(request: Request) -> Response:
        try:
            await site.log.job("")
            log = "healthy"
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it is what is asked here
            log = f"unhealthy ({type(error).__name__})"
        parts: dict[str, dict[str, Any]] = {
            "log": {"status": log},
            "pool": {"status": _status(site.pool.trouble()), **site.pool.counts()},
            "jobs": {"status": "healthy", **site.engine.counts(), "oldestWait": round(site.engine.oldest_wait(), 3)},
            "disk": await asyncio.to_thread(_disk, site.settings.state),
        }
        healthy = all(part["status"] == "healthy" for part in parts.values())
        body: bodies.Health = {
            "success": healthy,
            "status": "healthy" if healthy else "unhealthy",
            "version": __version__,
            "protocol": 2,
            "parts": parts,
        }
        whole = answer(body, 200 if healthy else 503, {} if healthy else {"Retry-After": "5"})
        pause = number_of(request, "pause", 0, 0, _LONGEST_PAUSE)
        return _in_pieces(whole, pause) if pause else whole

    pieces = (
        Header(name=PAUSE_HEADER, says="What `pause` was, where it was asked for."),
        Header(name="X-Accel-Buffering", says="`no` with `pause`: nginx passes it on as it comes."),
    )
    promise = Promise(
        says="Whether the server is ready",
        gives={200: bodies.Health, 503: bodies.Health},
        refuses=[400],
        parameters=[Parameter(name="pause", type=int, says="Seconds between the first byte and the others, 1 at most")],
        headers={200: pieces, 503: pieces},
        is_open=True,
    )
    return [Endpoint(path, health, promise) for path in ("/api/health", "/health")]


def _in_pieces(whole: Response, pause: int) -> Response:
    """Send white space, and the answer after `pause` seconds: who asks sees whether a proxy holds it back."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b" "
        await asyncio.sleep(pause)
        yield bytes(whole.body)

    headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
    return StreamingResponse(
        pieces(), whole.status_code, {**headers, "X-Accel-Buffering": "no", PAUSE_HEADER: str(pause)}
    )


def _status(trouble: str) -> str:
    return f"unhealthy ({trouble})" if trouble else "healthy"


def _disk(state: Path) -> dict[str, Any]:
    """Say how much room there is for archives."""
    try:
        free = shutil.disk_usage(state).free
    except OSError as error:
        return {"status": f"unhealthy ({error.strerror})"}
    return {"status": "healthy" if free >= _LEAST else "unhealthy (full)", "free": free}
