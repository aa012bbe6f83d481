"""The archive's bytes (RFC 9110, sections 13 and 14).

The ETag is strong and names one making of the archive, whose bytes never change. One range is served; several, or a
unit that is not bytes, get the whole file, as a server may (14.2). Starlette's FileResponse is not used: it derives a
weak-in-effect ETag from time and size, answers several ranges as multipart, and reads 64 kB a thread hop.
"""

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exportctl.server import bodies
from exportctl.server.answers import Refusal, answer
from exportctl.server.archive_store import ArchiveGoneError
from exportctl.server.contract import Endpoint, Header, Media, Parameter, Promise
from exportctl.server.job import JobRecord, Status
from exportctl.server.messages import disconnected
from exportctl.server.routes import live
from exportctl.server.routes.conditions import (
    archive_of,
    date_of,
    disposition,
    etag_of,
    gone,
    is_another,
    is_as_old,
    is_known,
    is_newer,
    name_for,
)
from exportctl.server.sending import send_part
from exportctl.server.site import Site

_RANGE = re.compile(r"bytes=\s*(?:(\d+)-(\d*)|-(\d+))\s*\Z", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 20
"""Of a number in a range that is read: no archive is as large."""

_PATHS = ("/api/projects/{project}/export/{job}", "/api/export/{job}")
_TOKEN = Promise(
    says="A token that opens the archive for ten minutes, without a cookie",
    gives={200: bodies.DownloadToken},
    refuses=(403, 404, 410),
)
_ETAG = Header(name="ETag", says="Names this making of the archive.", pattern='^"[^"]+"$', is_always=True)
_DATE = Header(name="Last-Modified", says="When it was completed; not with `live=1`.")
_RANGES = Header(name="Accept-Ranges", says="`bytes`; not with `live=1`.", pattern="^bytes$")
_NAME = Header(name="Content-Disposition", says="The name to save it by, once the archive has one.")
_BUFFERING = Header(name="X-Accel-Buffering", says="`no`: nginx passes it on as it comes.", is_always=True)
_DIGEST = Header(name="Repr-Digest", says="Of the whole archive; not with `live=1`.", pattern="^sha-256=:[^:]+:$")
_PART = Header(name="Content-Range", says="Which bytes these are.", pattern="^bytes [0-9]+-[0-9]+/", is_always=True)
_SIZE = Header(name="Content-Range", says="How many bytes there are.", pattern=r"^bytes \*/[0-9]+$")
_FACTS = (_ETAG, _DATE, _RANGES, _NAME, _BUFFERING)
_DOWNLOAD = Promise(
    says="The archive, or a part of it; with `live=1` while it is made",
    gives={200: Media(kind="application/zip"), 206: Media(kind="application/zip"), 304: None},
    refuses=(400, 403, 404, 409, 410, 412, 416, 503),
    headers={
        200: (*_FACTS, _DIGEST),
        206: (*_FACTS, _DIGEST, _PART),
        304: _FACTS,
        412: _FACTS,
        416: (*_FACTS, _DIGEST, _SIZE),
    },
    parameters=(
        Parameter(name="token", type=str, says="A download token, in place of being signed in."),
        Parameter(name="filename", type=str, says="The name that the file shall be saved by."),
        Parameter(name="live", type=str, says="`1`: the bytes as they are made, from `offset` on."),
        Parameter(name="offset", type=str, says="The first byte of `live=1`."),
        Parameter(name="Range", type=str, where="header", says="One range of bytes (RFC 9110, 14.2)."),
        Parameter(
            name="If-Range",
            type=str,
            where="header",
            says="The ETag, or date, of the archive that `Range` is good for.",
        ),
        Parameter(name="If-Match", type=str, where="header", says="412 where the archive is another one."),
        Parameter(name="If-None-Match", type=str, where="header", says="304 where the archive is this one."),
        Parameter(name="If-Unmodified-Since", type=str, where="header", says="412 where the archive is newer."),
        Parameter(name="If-Modified-Since", type=str, where="header", says="304 where the archive is not newer."),
    ),
)


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def token(request: Request) -> Response:
        record = await site.job(request)
        if record.status is not Status.COMPLETED:
            # As protocol 1, which has no other word for it.
            raise Refusal(404, "NOT_COMPLETED", f"The export is {record.status}, so there is no archive to download")
        # A link to an archive that is gone would leave a browser without a word.
        (await _opened(site, record, archive_of(record, site.now()).size)).close()
        made, expires = site.tickets.make(record.id)
        body: bodies.DownloadToken = {"token": made, "expiresAt": int(expires * 1000)}
        return answer(body)

    async def download(request: Request) -> Response:
        record = await site.job_by_ticket(request)
        if live.is_asked(request):
            return await live.answer(site, record, request)
        archive = archive_of(record, site.settings.clocks.now())
        etag, date = etag_of(record), date_of(record)
        headers = {
            "ETag": etag,
            "Last-Modified": date,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-transform",
            "Content-Disposition": disposition(name_for(request, archive)),
            "X-Accel-Buffering": "no",
        }
        if is_another(request, etag) or is_newer(request, date):
            raise Refusal(412, "PRECONDITION_FAILED", "The archive is another one now", headers=headers)
        if is_known(request, etag) or is_as_old(request, date):
            return Response(None, 304, headers)
        # Of the whole archive, whatever part is sent (RFC 9530, 3).
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(archive.sha256)).decode()}:"
        part, ranged = _part(request, {etag, date}, archive.size)
        if not part:
            raise Refusal(
                416,
                "RANGE_NOT_SATISFIABLE",
                f"The archive has {archive.size} bytes",
                headers={**headers, "Content-Range": f"bytes */{archive.size}"},
            )
        if ranged:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{archive.size}"
        file = await _opened(site, record, archive.size)
        return FileSlice(file, part, 206 if ranged else 200, headers)

    return [
        *(Endpoint(f"{path}/download", download, _DOWNLOAD, methods=["GET", "HEAD"]) for path in _PATHS),
        *(Endpoint(f"{path}/download-token", token, _TOKEN, methods=["POST"]) for path in _PATHS),
    ]


async def _opened(site: Site, record: JobRecord, size: int) -> BinaryIO:
    try:
        return await asyncio.to_thread(site.archives.open, record.id, size)
    except ArchiveGoneError as error:
        raise gone() from error


class FileSlice(Response):
    """Send a part of an open file, and close it whatever happens."""

    def __init__(self, file: BinaryIO, part: range, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, {**headers, "Content-Length": str(len(part))}, "application/zip")
        self._file = file
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and stop as soon as the client is gone: `send` would go on in silence.

        Raises ShorterError for one that was cut on disk: the connection is cut too, since a clean end would call it
        complete.
        """
        sending = asyncio.create_task(self._send(scope, send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            self._file.close()

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            await send_part(scope, send, self._file.fileno(), self._part)
        await send({"type": "http.response.body"})


def _part(request: Request, validators: set[str], size: int) -> tuple[range, bool]:
    """Return the bytes to send, and whether that is the part a Range asked for; an empty part is past the end.

    A Range counts for GET (14.2), if it is one range of bytes, and If-Range names this very archive by one of its
    `validators` (13.1.5); one that is invalid is as if it were not there (14.1.1).
    """
    whole = range(size), False
    found = _RANGE.match(", ".join(request.headers.getlist("Range")))
    if found is None or request.method != "GET" or request.headers.get("If-Range") not in {None, *validators}:
        return whole
    first, last, suffix = map(_number, found.groups())
    if suffix is not None:
        return range(max(size - suffix, 0), size), True
    if first is None or (last is not None and last < first):
        return whole
    return range(first, size if last is None else min(last + 1, size)), True


def _number(digits: str | None) -> int | None:
    """Return the number; None for none at all. One that is longer than any archive is as good as the largest."""
    return int(digits.lstrip("0")[:_MOST_DIGITS] or "0") if digits else None
