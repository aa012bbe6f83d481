"""What can be exported."""

import math
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from exportctl.server import bodies
from exportctl.server.answers import answer, number_of
from exportctl.server.contract import Endpoint, Parameter, Promise
from exportctl.server.export.counting import Counts
from exportctl.server.export.folder import list_folder
from exportctl.server.export.headers import read_header
from exportctl.server.export.names import spelled
from exportctl.server.job import timestamp
from exportctl.server.settings import Project
from exportctl.server.site import Site

_PAGE = 10
_LARGEST_PAGE = 100
_PAGING = (
    Parameter(name="page", type=int, says="From 1."),
    Parameter(name="limit", type=int, says=f"How many a page, {_LARGEST_PAGE} at most; {_PAGE} where it is not given."),
    Parameter(name="search", type=str, says="Only titles that contain this, in whatever letters."),
)


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""
    counts = Counts()

    async def projects(request: Request) -> Response:
        user = site.user(request)
        search = request.query_params.get("search", "").casefold()
        page = number_of(request, "page", 1, 1, 1_000_000)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        found = [project for project in site.settings.projects if search in project.title.casefold()]
        rows = [
            await run_in_threadpool(_shown, project, user, counts)
            for project in found[(page - 1) * limit : page * limit]
        ]
        pages = math.ceil(len(found) / limit)
        body: bodies.Projects = {
            "success": True,
            "projects": rows,
            "data": rows,
            "pagination": {"page": page, "limit": limit, "total": len(found), "totalPages": pages},
            "message": "The projects",
        }
        return answer(body)

    async def project(request: Request) -> Response:
        user = site.user(request)
        row = await run_in_threadpool(_shown_whole, site.project(request), user)
        body: bodies.OneProject = {"success": True, "project": row, "data": row, "message": "The project"}
        return answer(body)

    async def images(request: Request) -> Response:
        site.user(request)
        page = number_of(request, "page", 1, 1, 1_000_000)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        shown, total = await run_in_threadpool(_shown_images, site.project(request), (page - 1) * limit, limit)
        pages: bodies.Pagination = {
            "page": page,
            "limit": limit,
            "total": total,
            "totalPages": math.ceil(total / limit),
        }
        body: bodies.OnePageOfImages = {
            "success": True,
            "data": {"images": shown, "pagination": pages},
            "message": "The images",
        }
        return answer(body)

    some = Promise(says="The projects", gives={200: bodies.Projects}, parameters=_PAGING, refuses=(400,))
    one = Promise(says="A project and its images", gives={200: bodies.OneProject}, refuses=(404,))
    few = Promise(
        says="A page of a project's images",
        gives={200: bodies.OnePageOfImages},
        parameters=_PAGING[:2],
        refuses=(400, 404),
    )
    # What protocol 1's web client lets people select from; it asks by two names, and does without the thumbnails.
    listed = [
        Endpoint(f"/api/projects/{{project}}/{name}", images, few) for name in ("images", "images-with-thumbnails")
    ]
    return [Endpoint("/api/projects", projects, some), Endpoint("/api/projects/{project}", project, one), *listed]


def _shown(project: Project, user: str, counts: Counts) -> bodies.Project:
    """Describe a project; its folder may be away, which starting an export of it says."""
    try:
        return _facts(project, user, counts.of(str(project.folder)), _changed(project.folder))
    except OSError:
        return _facts(project, user, None, None)


def _shown_whole(project: Project, user: str) -> bodies.WholeProject:
    try:
        paths, changed = list_folder(str(project.folder)).images, _changed(project.folder)
    except OSError:
        return {**_facts(project, user, None, None), "images": []}
    images = [image for path in paths if (image := _image(project.folder, path)) is not None]
    return {**_facts(project, user, len(paths), changed), "images": images}


def _shown_images(project: Project, start: int, limit: int) -> tuple[list[bodies.Image], int]:
    """Describe some images, and say how many there are; of a folder that is away, none."""
    try:
        paths = list_folder(str(project.folder)).images
    except OSError:
        return [], 0
    described = (_image(project.folder, path) for path in paths[start : start + limit])
    return [image for image in described if image is not None], len(paths)


def _facts(project: Project, user: str, count: int | None, changed: str | None) -> bodies.Project:
    # When a folder was made is not told by every file system.
    return {
        "id": project.id,
        "title": project.title,
        "userId": user,
        "description": None,
        "imageCount": count,
        "_count": {"images": count or 0},
        "createdAt": changed,
        "updatedAt": changed,
    }


def _image(folder: Path, path: str) -> bodies.Image | None:
    """Describe an image; None for one that was taken away since."""
    try:
        size, changed = (folder / path).stat().st_size, _changed(folder / path)
    except OSError:
        return None
    header = read_header(str(folder / path))
    return {
        "id": spelled(path),
        "name": spelled(path.rsplit("/", maxsplit=1)[-1]),
        "fileSize": size,
        "width": header.width or None,
        "height": header.height or None,
        "mimeType": f"image/{header.format}" if header.format else None,
        "createdAt": changed,
        "updatedAt": changed,
    }


def _changed(path: Path) -> str:
    return timestamp(path.stat().st_mtime)
