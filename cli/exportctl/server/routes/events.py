"""A job's events over HTTP: a page of its log, held until there is something new if the client wishes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import answer, number_of
from exportctl.server.cursor import Cursor, start_of
from exportctl.server.site import Site

LONGEST_WAIT = 30
_PAGE = 500
_LARGEST_PAGE = 5000


def routes(site: Site) -> list[Route]:
    """Return the routes of this module."""

    async def events(request: Request) -> Response:
        record = await site.job(request)
        after, gap = start_of(record, number_of(request, "after", 0, 0, 2**62), request.query_params.get("log") or None)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        wait = number_of(request, "wait", 0, 0, LONGEST_WAIT)
        cursor = Cursor(site.log, record.id, after)
        taken = await cursor.take(limit)
        if not taken and wait and not record.status.ended and await cursor.wait(wait):
            taken = await cursor.take(limit)
        # Read after the events, so that `lastSeq` is never below one of them.
        record = await site.log.job(record.id) or record
        return answer(
            {
                "success": True,
                "events": [{"event": event.name, "data": event.data} for event in taken],
                "log": record.log,
                "lastSeq": record.last_seq,
                "status": record.status,
                "gap": gap,
            }
        )

    return [Route("/api/projects/{project}/export/{job}/events", events), Route("/api/export/{job}/events", events)]
