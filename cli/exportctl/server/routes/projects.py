"""What can be exported."""

import math

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import answer, number_of
from exportctl.server.export.folder import count_images
from exportctl.server.settings import Project
from exportctl.server.site import Site

_PAGE = 10
_LARGEST_PAGE = 100


def routes(site: Site) -> list[Route]:
    """Return the routes of this module."""

    async def shown(project: Project) -> dict[str, object]:
        try:
            count = await run_in_threadpool(count_images, str(project.folder))
        except OSError:
            count = None  # its folder is away; starting an export of it says so
        return {"id": project.id, "title": project.title, "imageCount": count}

    async def projects(request: Request) -> Response:
        site.user(request)
        search = request.query_params.get("search", "").casefold()
        page = number_of(request, "page", 1, 1, 1_000_000)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        found = [project for project in site.settings.projects if search in project.title.casefold()]
        rows = [await shown(project) for project in found[(page - 1) * limit : page * limit]]
        pagination = {"page": page, "limit": limit, "total": len(found), "totalPages": math.ceil(len(found) / limit)}
        # `data` is protocol 1's name for the same list.
        return answer({"success": True, "projects": rows, "data": rows, "pagination": pagination})

    async def project(request: Request) -> Response:
        site.user(request)
        row = await shown(site.project(request))
        return answer({"success": True, "project": row, "data": row})

    return [Route("/api/projects", projects), Route("/api/projects/{project}", project)]
