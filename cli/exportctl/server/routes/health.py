"""Whether the server is ready, and each of its parts."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl import __version__
from exportctl.server.answers import answer
from exportctl.server.site import Site


def routes(site: Site) -> list[Route]:
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
        status = "healthy" if healthy else "unhealthy"
        body = {"success": healthy, "status": status, "version": __version__, "protocol": 2, "parts": parts}
        return answer(body, 200 if healthy else 503, {} if healthy else {"Retry-After": "5"})

    return [Route("/api/health", health), Route("/health", health)]
