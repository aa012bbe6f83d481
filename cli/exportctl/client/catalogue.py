"""What a server offers: its user's projects, the formats, and who that user is.

Both protocols' spellings are read; what a server does not say is None.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from exportctl.client.api import Api
from exportctl.protocol.dialects import reading
from exportctl.protocol.dialects.reading import Object

_PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts:
    """A project, as the list of them shows it. Times as the server gave them."""

    id: str
    title: str
    image_count: int | None
    description: str | None
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format. `kind` is `annotations` or `metrics`."""

    kind: str
    id: str
    name: str | None
    description: str | None


async def projects(api: Api, search: str | None) -> AsyncIterator[ProjectFacts]:
    """Yield every project once, those that match `search` by the server's own rule."""
    seen: set[str] = set()
    page = 1
    while True:
        params: dict[str, str | int] = {"page": page, "limit": _PAGE}
        if search is not None:
            params["search"] = search
        answer = await _object(api, "/api/projects", "the list of projects", params)
        fresh = [row for row in _rows(answer, "projects") or _rows(answer, "data") if _id(row) not in {None, *seen}]
        for row in fresh:
            seen.add(_id(row) or "")
            yield _project(row)
        pages = reading.integer(reading.mapping(answer, "pagination") or {}, "totalPages")
        if not fresh or pages is None or page >= pages:
            return
        page += 1


async def formats(api: Api) -> list[Format]:
    """Return the formats in the server's order, all kinds that it knows."""
    answer = await _object(api, "/api/export/formats", "the list of formats", {})
    answer = reading.mapping(answer, "data") or answer
    return [
        Format(
            kind=kind,
            id=_id(row) or "",
            name=reading.text(row, "name"),
            description=reading.text(row, "description"),
        )
        for kind in answer
        for row in _rows(answer, kind)
        if _id(row)
    ]


async def user(api: Api) -> str | None:
    """Return the email of the one who is signed in; None where the server knows no more than an id."""
    answer = await _object(api, "/api/auth/profile", "the profile", {})
    facts = reading.mapping(answer, "data") or answer
    return reading.text(reading.mapping(facts, "user") or facts, "email")


async def _object(api: Api, path: str, what: str, params: dict[str, str | int]) -> Object:
    answer = await api.ask("GET", path, what=what, params=params)
    return {str(key): value for key, value in answer.items()} if isinstance(answer, dict) else {"data": answer}


def _rows(answer: Object, key: str) -> list[Object]:
    found = answer.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _id(row: Object) -> str | None:
    return reading.text(row, "id") or None


def _project(row: Object) -> ProjectFacts:
    count = reading.integer(row, "imageCount")
    if count is None:
        count = reading.integer(reading.mapping(row, "_count") or {}, "images")  # protocol 1
    return ProjectFacts(
        id=_id(row) or "",
        title=reading.text(row, "title") or reading.text(row, "name") or "",
        image_count=count,
        description=reading.text(row, "description"),
        created_at=reading.text(row, "createdAt"),
        updated_at=reading.text(row, "updatedAt"),
    )
