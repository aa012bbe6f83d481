"""What can be exported."""

import functools
import math
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from exportctl.server import bodies
from exportctl.server.answers import answer, answer_in_pieces, number_of
from exportctl.server.contract import Endpoint, Parameter, Promise
from exportctl.server.export.headers import read_header
from exportctl.server.export.names import spelled
from exportctl.server.export.opening import HeldFolder
from exportctl.server.folders import Facts, changed_at
from exportctl.server.settings import Project
from exportctl.server.site import Site

_PAGE = 10
_LARGEST_PAGE = 100
_PIECE: Final = 100
"""Images that are described at a time: milliseconds, after which others have their turn."""
_PAGING = (
    Parameter(name="page", type=int, says="From 1."),
    Parameter(name="limit", type=int, says=f"How many a page, {_LARGEST_PAGE} at most; {_PAGE} where it is not given."),
    Parameter(name="search", type=str, says="Only titles that contain this, in whatever letters."),
)


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def projects(request: Request) -> Response:
        user = site.user(request)
        search = request.query_params.get("search", "").casefold()
        page = number_of(request, "page", 1, 1, 1_000_000)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        found = [project for project in site.settings.projects if search in project.title.casefold()]
        shown = found[(page - 1) * limit : page * limit]
        known = await site.engine.folders.facts([project.folder for project in shown])
        rows = [_described(project, user, facts) for project, facts in zip(shown, known, strict=True)]
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
        user, project = site.user(request), site.project(request)
        facts, paths = await site.engine.folders.images(project.folder)
        return answer_in_pieces(_pieces(site, project, _described(project, user, facts), paths))

    async def images(request: Request) -> Response:
        site.user(request)
        page = number_of(request, "page", 1, 1, 1_000_000)
        limit = number_of(request, "limit", _PAGE, 1, _LARGEST_PAGE)
        folder = site.project(request).folder
        _, paths = await site.engine.folders.images(folder)
        part = paths[(page - 1) * limit : page * limit]
        pages: bodies.Pagination = {
            "page": page,
            "limit": limit,
            "total": len(paths),
            "totalPages": math.ceil(len(paths) / limit),
        }
        body: bodies.OnePageOfImages = {
            "success": True,
            "data": {
                "images": await site.engine.folders.within(folder, lambda: _images(folder, part)),
                "pagination": pages,
            },
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


async def _pieces(site: Site, project: Project, row: bodies.Project, paths: Sequence[str]) -> AsyncIterator[bytes]:
    """Spell a project and its images, some of them at a time."""
    body: bodies.OneProject = {"success": True, "message": "The project", "project": row, "data": {**row, "images": []}}
    whole = orjson.dumps(body)
    # Up to the list's end, which is the body's too.
    yield whole[:-3]
    comma = b""
    for start in range(0, len(paths), _PIECE):
        work = functools.partial(_spelled_images, project.folder, paths[start : start + _PIECE])
        if images := await site.engine.folders.within(project.folder, work):
            yield comma + images
            comma = b","
    yield whole[-3:]


def _described(project: Project, user: str, facts: Facts) -> bodies.Project:
    # When a folder was made is not told by every file system.
    return {
        "id": project.id,
        "title": project.title,
        "userId": user,
        "description": None,
        "imageCount": facts.images,
        "_count": {"images": facts.images or 0},
        "createdAt": facts.changed,
        "updatedAt": facts.changed,
    }


def _spelled_images(folder: Path, paths: Sequence[str]) -> bytes:
    """Spell what stands between the brackets of a list."""
    return orjson.dumps(_images(folder, paths))[1:-1]


def _images(folder: Path, paths: Sequence[str]) -> list[bodies.Image]:
    try:
        with HeldFolder(str(folder)) as held:
            return [image for path in paths if (image := _image(held, path)) is not None]
    except OSError:
        return []


def _image(held: HeldFolder, path: str) -> bodies.Image | None:
    """Describe an image; None for one that was taken away since."""
    try:
        file = held.hold(path)
    except OSError:
        return None
    facts = os.fstat(file)
    os.close(file)
    header, changed = read_header(path, held.open), changed_at(facts)
    return {
        "id": spelled(path),
        "name": spelled(path.rsplit("/", maxsplit=1)[-1]),
        "fileSize": facts.st_size,
        "width": header.width or None,
        "height": header.height or None,
        "mimeType": f"image/{header.format}" if header.format else None,
        "createdAt": changed,
        "updatedAt": changed,
    }
