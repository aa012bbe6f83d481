"""What a route promises, declared where it is made: from this the API's description is generated (`description.py`).

An `Endpoint` is a route of Starlette that knows its answers by status, what it takes, and what it refuses. Types are
those of `bodies.py`; a route without a declaration is no part of the API.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value of the query or of a header; `type` is one that msgspec knows."""

    name: str
    type: Any
    says: str
    where: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An answer that is no JSON."""

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of an answer. `is_always`: whether each answer of its status has it."""

    name: str
    says: str
    pattern: str = ""
    is_always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a route does.

    `gives`: by status the type of the JSON answer, a Media, or None for no body. `takes`: the type of the JSON body.
    `refuses`: the statuses of errors beside those that every route may answer with (401 where `is_open` is false).
    `headers`: by status those of its answers, beside what all answers have.
    """

    says: str
    gives: Mapping[int, Any]
    takes: Any = None
    parameters: Sequence[Parameter] = ()
    refuses: Sequence[int] = ()
    headers: Mapping[int, Sequence[Header]] = field(default_factory=dict)
    is_open: bool = False


class Endpoint(Route):
    """A route of the API."""

    def __init__(
        self,
        path: str,
        handler: Callable[[Request], Awaitable[Response]],
        promise: Promise,
        *,
        methods: Sequence[str] = ("GET",),
    ) -> None:
        super().__init__(path, handler, methods=list(methods))
        self.promise = promise
        self.verbs = tuple(methods)
