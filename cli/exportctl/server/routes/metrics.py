"""What the server counts of itself, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import PROTOCOL, PROTOCOL_HEADER
from exportctl.server.meters import CONTENT_TYPE
from exportctl.server.site import Site


def routes(site: Site) -> list[Route]:
    """Return the routes of this module."""

    async def metrics(_request: Request) -> Response:
        headers = {PROTOCOL_HEADER: PROTOCOL, "Cache-Control": "no-store", "Content-Type": CONTENT_TYPE}
        return Response(site.meters.text(), headers=headers)

    return [Route("/metrics", metrics)]
