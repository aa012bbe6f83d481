"""What the server counts of itself, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response

from exportctl.server.contract import Endpoint, Media, Promise
from exportctl.server.meters import CONTENT_TYPE
from exportctl.server.site import Site


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def metrics(_request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE}
        return Response(site.meters.text(), headers=headers)

    promise = Promise(says="Numbers for Prometheus", gives={200: Media(kind="text/plain")}, is_open=True)
    return [Endpoint("/metrics", metrics, promise)]
