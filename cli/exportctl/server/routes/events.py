"""A job's events over HTTP: a page of its log, held until there is something new if the client wishes."""

from starlette.requests import Request
from starlette.responses import Response

from exportctl.server import bodies
from exportctl.server.answers import answer, number_of
from exportctl.server.contract import Endpoint, Parameter, Promise
from exportctl.server.cursor import Cursor, start_of
from exportctl.server.site import Site

LONGEST_WAIT = 30
_PAGE = 500
_LARGEST_PAGE = 5000
_EVENTS = Promise(
    says="A page of a job's log",
    gives={200: bodies.Events},
    refuses=(400, 404),
    parameters=(
        Parameter(name="after", type=int, says="Only events with a higher `seq`; 0 where it is not given."),
        Parameter(name="log", type=str, says="The log in which `after` was counted."),
        Parameter(name="wait", type=int, says=f"Hold the answer so many seconds for news, {LONGEST_WAIT} at most."),
        Parameter(name="limit", type=int, says=f"{_PAGE} where it is not given, {_LARGEST_PAGE} at most."),
    ),
)


def routes(site: Site) -> list[Endpoint]:
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
        body: bodies.Events = {
            "success": True,
            "events": [{"event": event.name, "data": event.data} for event in taken],
            "log": record.log,
            "lastSeq": record.last_seq,
            "status": record.status.value,
            "gap": gap,
        }
        return answer(body)

    paths = ("/api/projects/{project}/export/{job}/events", "/api/export/{job}/events")
    return [Endpoint(path, events, _EVENTS) for path in paths]
