"""What a server offers beside projects and their jobs: the formats, and who its user is.

Both protocols' spellings are read; what a server does not say is None.
"""

from dataclasses import dataclass

from exportctl.client.api import Api
from exportctl.protocol.dialects import reading
from exportctl.protocol.dialects.reading import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format. `kind` is `annotations` or `metrics`."""

    kind: str
    id: str
    name: str | None
    description: str | None


async def formats(api: Api) -> list[Format]:
    """Return the formats in the server's order, all kinds that it knows."""
    answer = await _object(api, "/api/export/formats", "the list of formats")
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
    answer = await _object(api, "/api/auth/profile", "the profile")
    facts = reading.mapping(answer, "data") or answer
    return reading.text(reading.mapping(facts, "user") or facts, "email")


async def _object(api: Api, path: str, what: str) -> Object:
    answer = await api.ask("GET", path, what=what)
    return {str(key): value for key, value in answer.items()} if isinstance(answer, dict) else {"data": answer}


def _rows(answer: Object, key: str) -> list[Object]:
    found = answer.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _id(row: Object) -> str | None:
    return reading.text(row, "id") or None
