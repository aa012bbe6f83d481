"""The API's description: OpenAPI 3.1, made of what the routes declare (`contract.py`).

So a route that answers otherwise than described is a fault of its declaration, and one that is not described is none of
the API. Types become JSON Schemas by msgspec.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from exportctl import __version__
from exportctl.server import bodies
from exportctl.server.auth import ACCESS_COOKIE
from exportctl.server.contract import Endpoint, Header, Media, Parameter
from exportctl.server.security import PROTOCOL, PROTOCOL_HEADER

_UNAUTHORIZED = 401
_CROWDED = 429
_STOPPING = 503
_WAITING = frozenset({_CROWDED, _STOPPING})
_LEAST_REFUSAL = 400
_JSON = "application/json"

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "minLength": 1}
_SIGN_IN: list[Schema] = [{"token": []}, {"session": []}]


def describe(endpoints: Sequence[Endpoint]) -> Schema:
    """Return the description of these routes."""
    types = list(_types(endpoints))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    spelled = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        for verb in endpoint.verbs:
            paths.setdefault(endpoint.path, {})[verb.lower()] = _operation(endpoint, verb, spelled)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "exportctl",
            "version": __version__,
            "summary": "Exports of segmented images",
            "description": (
                "Every answer has the headers `Export-Protocol`, `X-Request-ID` and `X-Correlation-ID`: the ids "
                "by which the server's log knows it, as they were sent or made for it. HEAD is answered as GET, "
                "without the body; a method that is not here is 405 with `Allow`. "
                "Events come by Socket.IO at `/socket.io/`."
            ),
        },
        # Beside where this stands: the API is below whatever path a proxy has it at.
        "servers": [{"url": ".."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE},
            },
        },
    }


def _types(endpoints: Iterable[Endpoint]) -> Iterable[Any]:
    yield bodies.Refused
    for endpoint in endpoints:
        promise = endpoint.promise
        yield from (given for given in promise.gives.values() if given is not None and not isinstance(given, Media))
        yield from () if promise.takes is None else (promise.takes,)
        yield from (parameter.type for parameter in promise.parameters)


def _operation(endpoint: Endpoint, verb: str, spelled: dict[str, Schema]) -> Schema:
    promise = endpoint.promise
    where = re.sub(r"[^a-z]+", "-", endpoint.path.removeprefix("/api").lower()).strip("-")
    found: Schema = {
        "operationId": f"{verb.lower()}-{where}",
        "summary": promise.says,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _names(endpoint)
            ),
            *(_parameter(parameter, spelled) for parameter in promise.parameters),
        ],
        "security": [] if promise.is_open else _SIGN_IN,
        "responses": {},
    }
    if promise.takes is not None:
        found["requestBody"] = {"content": {_JSON: {"schema": spelled[repr(promise.takes)]}}}
    usual = {_STOPPING} if promise.is_open else {_STOPPING, _UNAUTHORIZED, _CROWDED}
    refuses = {*promise.refuses, *usual} - promise.gives.keys()
    given = {**promise.gives, **dict.fromkeys(refuses, bodies.Refused)}
    for status, kind in sorted(given.items()):
        content = _content(kind, spelled) if verb != "HEAD" else {}
        found["responses"][str(status)] = {
            "description": HTTPStatus(status).phrase,
            "headers": _headers(status) | {one.name: _header(one) for one in promise.headers.get(status, ())},
            **({"content": content} if content else {}),
        }
    return found


def _names(endpoint: Endpoint) -> list[str]:
    return re.findall(r"{(\w+)}", endpoint.path)


def _parameter(parameter: Parameter, spelled: dict[str, Schema]) -> Schema:
    schema = spelled[repr(parameter.type)]
    return {"name": parameter.name, "in": parameter.where, "description": parameter.says, "schema": schema}


def _content(kind: Any, spelled: dict[str, Schema]) -> Schema:
    match kind:
        case None:
            return {}
        case Media():
            return {kind.kind: {}}
        case _:
            return {_JSON: {"schema": spelled[repr(kind)]}}


def _headers(status: int) -> Schema:
    """Return what every answer of a status has."""
    headers: Schema = {PROTOCOL_HEADER: {"const": PROTOCOL}, "X-Request-ID": _ID, "X-Correlation-ID": _ID}
    if status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"const": "Bearer"}
    if status in _WAITING:
        headers["Retry-After"] = {"type": "string", "pattern": "^[0-9]+$"}
    return {name: {"required": True, "schema": schema} for name, schema in headers.items()}


def _header(header: Header) -> Schema:
    pattern = {"pattern": header.pattern} if header.pattern else {}
    return {"description": header.says, "required": header.is_always, "schema": {"type": "string", **pattern}}
