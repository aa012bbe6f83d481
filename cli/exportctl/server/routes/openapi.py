"""What the API is, for programs."""

import functools
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import answer
from exportctl.server.contract import Endpoint, Promise


def described(routes: Sequence[Route]) -> list[Route]:
    """Return the routes with one more, which describes those of the API and itself."""

    @functools.cache
    def description() -> dict[str, Any]:
        # Not above: whoever serves one export is not asked for it, and need not wait for it.
        from exportctl.server.description import describe  # noqa: PLC0415

        return describe([route for route in whole if isinstance(route, Endpoint)])

    async def openapi(_request: Request) -> Response:
        return answer(description())

    promise = Promise(says="This description", gives={200: dict[str, Any]}, is_open=True)
    whole: list[Route] = [*routes, Endpoint("/api/openapi.json", openapi, promise)]
    return whole
