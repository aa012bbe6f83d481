"""The HTTP of a server of protocol 1: what was seen to be answered, and what never is."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from production.archives import answer_to, pieces
from production.jobs import Job
from production.site import Site


class BrokenOffError(Exception):
    """The connection ends in the middle of an answer."""


def missing(words: str) -> JSONResponse:
    return JSONResponse({"success": False, "error": words, "code": "NOT_FOUND"}, 404)


def _found(site: Site, request: Request) -> Job | None:
    known = site.jobs.get(request.path_params["job"])
    return known if known is not None and known.project_id == request.path_params["project"] else None


def routes(site: Site) -> list[Route]:
    """Return the routes of everything but the signing in."""
    return [*_of_projects(site), *_of_jobs(site)]


def _of_projects(site: Site) -> list[Route]:
    async def projects(_request: Request) -> Response:
        rows = [{"id": one, "title": title, "_count": {"images": 3}} for one, title in site.titles.items()]
        pages = {"page": 1, "limit": 50, "total": len(rows), "totalPages": 1}
        return JSONResponse({"success": True, "data": rows, "pagination": pages})

    async def start(request: Request) -> Response:
        body = await request.json()
        await site.before("start")
        if site.running() is not None:
            words = "Rate limit exceeded: you already have an export in progress. Please wait for it to complete."
            return JSONResponse({"success": False, "error": words, "code": "RATE_LIMIT_EXCEEDED"}, 429)
        project = request.path_params["project"]
        if project not in site.titles:
            return JSONResponse({"success": False, "error": "Failed to start export", "code": "INTERNAL"}, 500)
        begun = site.begin(project, body["options"], body.get("projectName"))
        await site.wait_for(begun.answered.is_set)
        if site.losing:
            site.losing -= 1
            # More was announced than comes: the connection ends in the middle of the answer.
            return Response(b"{", headers={"Content-Length": "100"}, media_type="application/json")
        return JSONResponse({"success": True, "jobId": begun.id, "message": "Export job started successfully"})

    async def history(request: Request) -> Response:
        await site.before("history")
        return JSONResponse(site.history(request.path_params["project"]))

    return [
        Route("/api/projects", projects),
        Route("/api/projects/{project}/export", start, methods=["POST"]),
        Route("/api/projects/{project}/export/history", history),
    ]


def _of_jobs(site: Site) -> list[Route]:
    async def status(request: Request) -> Response:
        await site.before("status")
        known = _found(site, request)
        return missing("Export status not found") if known is None else JSONResponse(known.seen())

    async def cancel(request: Request) -> Response:
        await site.before("cancel")
        known = _found(site, request)
        if known is not None:
            await site.cancel(known)
        return JSONResponse({"success": True, "message": "Export job cancelled successfully"})

    job = "/api/projects/{project}/export/{job}"
    return [
        Route(f"{job}/status", status),
        Route(f"{job}/cancel", cancel, methods=["POST"]),
        Route(f"{job}/download", _download(site), methods=["GET", "HEAD"]),
    ]


def _download(site: Site):
    """An ASGI application: what is sent is what lies there at that moment, whatever was announced."""

    class Download:
        async def __call__(self, scope, receive, send) -> None:
            request = Request(scope, receive)
            await site.before("head" if request.method == "HEAD" else "download")
            job = _found(site, request)
            if job is None or job.status != "completed":
                await missing("Export file not found")(scope, receive, send)
                return
            path = site.shelf.path(job.project_id)
            if not path.exists():
                await missing("File not found")(scope, receive, send)
                return
            answer = answer_to(dict(request.headers), path, job.id)
            if answer.status is None:
                await site.never(f"{request.method} {dict(request.headers)}")
                return
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            sent = 0
            if request.method == "GET":
                async for piece in pieces(path, answer, site.piece_bytes):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    sent += len(piece)
                    await site.count("pieces")
                if sent < answer.stop - answer.start:
                    raise BrokenOffError
            await send({"type": "http.response.body", "body": b""})

    return Download()
