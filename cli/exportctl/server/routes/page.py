"""The page of this server, for people with a browser: running and past exports, live.

Its files lie in `server/page/` and are served as they are; they name each other relatively, so that the page works
below a path of a proxy too. It uses nothing but the API and the socket, with no right of its own.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import Refusal
from exportctl.server.routes.conditions import is_known
from exportctl.server.site import Site

_FOLDER = Path(__file__).parent.parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
"""Content Security Policy, level 3: nothing from elsewhere, nothing inline; 'self' takes in its own websocket."""
_ASKS = b'data-asks="password"'
"""Of the root element. Where there are no users, the page asks for a token instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One file as it is, and packed. Browsers ask for it every time, so that an upgraded server is seen at once."""

    body: bytes
    packed: bytes
    type: str
    digest: str

    def answer(self, request: Request) -> Response:
        """Send it, packed to whoever takes that, or say that the browser has it."""
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        # A strong validator is of the bytes that are sent (RFC 9110, 8.8.3.3).
        etag = f'"{self.digest}{"-gzip" if is_packed else ""}"'
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "ETag": etag,
            "Vary": "Accept-Encoding",
        }
        if is_known(request, etag):
            return Response(None, 304, headers)
        if is_packed:
            return Response(self.packed, 200, {**headers, "Content-Encoding": "gzip"}, self.type)
        return Response(self.body, 200, headers, self.type)


def routes(site: Site) -> list[Route]:
    """Return the routes of this module."""
    shipped = {path.relative_to(_FOLDER).as_posix(): path for path in _FOLDER.rglob("*") if path.suffix in _TYPES}
    files = {name: _file(path.read_bytes(), path.suffix) for name, path in shipped.items()}
    for_users = files.pop("page.html")
    for_tokens = _file(for_users.body.replace(_ASKS, b'data-asks="token"'), ".html")

    async def page(request: Request) -> Response:
        has_users = site.people is not None and site.people.users.are_there()
        return (for_users if has_users else for_tokens).answer(request)

    async def page_file(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            raise Refusal(404, "NOT_FOUND", "No such file of the page")
        return file.answer(request)

    return [Route("/", page), Route("/page/{name:path}", page_file)]


def _file(body: bytes, suffix: str) -> _File:
    digest = hashlib.sha256(body).hexdigest()[:32]
    return _File(body=body, packed=gzip.compress(body, mtime=0), type=_TYPES[suffix], digest=digest)
