"""Whether the server is ready, and each of its parts."""

from starlette.requests import Request
from starlette.responses import Response

from exportctl import __version__
from exportctl.server import bodies
from exportctl.server.answers import answer
from exportctl.server.contract import Endpoint, Promise
from exportctl.server.site import Site


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def health(_request: Request) -> Response:
        try:
            await site.log.job("")
            log = "healthy"
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it is what is asked here
            log = f"unhealthy ({type(error).__name__})"
        healthy = log == "healthy"
        parts = {
            "log": {"status": log},
            "pool": {"status": "healthy", **site.pool.counts()},
            "jobs": {"status": "healthy", **site.engine.counts()},
        }
        body: bodies.Health = {
            "success": healthy,
            "status": "healthy" if healthy else "unhealthy",
            "version": __version__,
            "protocol": 2,
            "parts": parts,
        }
        return answer(body, 200 if healthy else 503, {} if healthy else {"Retry-After": "5"})

    promise = Promise(says="Whether the server is ready", gives={200: bodies.Health, 503: bodies.Health}, is_open=True)
    return [Endpoint(path, health, promise) for path in ("/api/health", "/health")]
