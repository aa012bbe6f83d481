"""The archive's bytes while it is made: `…/download?live=1&offset=N` (`WIRE.md`, HTTP beyond protocol 1).

The answer is chunked, since nobody knows the size yet. Its clean end says that the archive is whole and the job
completed; whatever else happens cuts the connection. A reader that takes nothing holds up nobody but itself.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exportctl.server.answers import Refusal
from exportctl.server.archive_store import ArchiveGoneError
from exportctl.server.growth import Growth, LostError
from exportctl.server.job import JobRecord
from exportctl.server.messages import disconnected
from exportctl.server.routes.conditions import (
    archive_of,
    disposition,
    etag_of,
    gone,
    is_another,
    name_for,
)
from exportctl.server.sending import ShorterError, send_part
from exportctl.server.site import Site


def is_asked(request: Request) -> bool:
    """Say whether the request wants the archive while it is made."""
    return request.query_params.get("live") == "1"


async def answer(site: Site, record: JobRecord, request: Request) -> Response:
    """Answer with the archive's bytes from `offset` on; one that is whole is sent the same way. Raises Refusal."""
    offset = _offset(request)
    growth = None if record.status.ended else site.engine.growths.find(record.id)
    if growth is None:
        # It may have ended after it was looked at.
        record = await site.log.job(record.id) or record
        growth = await _whole(site, record)
        opened = functools.partial(site.archives.open, record.id, growth.written)
    else:
        opened = functools.partial(_open, growth)
    etag = etag_of(record)
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-store, no-transform",
        "X-Accel-Buffering": "no",
    }
    if record.archive is not None:
        headers["Content-Disposition"] = disposition(name_for(request, record.archive))
    if is_another(request, etag):
        raise Refusal(412, "PRECONDITION_FAILED", "The archive is being made anew", headers=headers)
    if offset > growth.written:
        if record.archive is not None:
            headers["Content-Range"] = f"bytes */{growth.written}"
        raise Refusal(416, "RANGE_NOT_SATISFIABLE", f"The archive has {growth.written} bytes", headers=headers)
    return LiveStream(growth, opened, offset, headers)


class LiveStream(Response):
    """Send a growing file, which `opened` opens; raises LostError, which cuts the connection."""

    def __init__(self, growth: Growth, opened: Callable[[], BinaryIO], offset: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, 200, headers, "application/zip")
        del self.headers["Content-Length"]
        self._growth = growth
        self._opened = opened
        self._offset = offset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until it is whole; stop when the client is gone, and at once when there will be no archive."""
        sending = asyncio.create_task(self._send(scope, send))
        # A client that takes nothing keeps `_send` waiting: it must not keep what was lost.
        others = [asyncio.create_task(disconnected(receive)), asyncio.create_task(self._growth.lost())]
        try:
            await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif others[1].done():
                raise LostError
        finally:
            for task in (sending, *others):
                task.cancel()
            await asyncio.gather(sending, *others, return_exceptions=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        at, file = self._offset, None
        try:
            while (durable := await self._growth.beyond(at)) > at:
                if file is None:
                    file = await asyncio.to_thread(self._opened)
                await send_part(scope, send, file.fileno(), range(at, durable))
                at = durable
        except (ShorterError, ArchiveGoneError) as error:
            raise LostError from error
        finally:
            if file is not None:
                file.close()
        await send({"type": "http.response.body"})


def _offset(request: Request) -> int:
    given = request.query_params.get("offset") or "0"
    if not (given.isascii() and given.isdigit()):
        raise Refusal(400, "BAD_PARAMETER", "offset must be a whole number of bytes")
    return int(given[:20])


async def _whole(site: Site, record: JobRecord) -> Growth:
    """Return a finished archive as one that grows no more; raises Refusal (409, 410, 503)."""
    if not record.status.ended:
        raise Refusal(503, "NOT_RUNNING", "The export is not being worked on right now", headers={"Retry-After": "1"})
    archive = archive_of(record, site.settings.clocks.now())
    try:
        (await asyncio.to_thread(site.archives.open, record.id, archive.size)).close()
    except ArchiveGoneError as error:
        raise gone() from error
    return Growth.whole(archive.size)


def _open(growth: Growth) -> BinaryIO:
    if growth.path is None:
        raise LostError
    try:
        return growth.path.open("rb", buffering=0)
    except OSError as error:
        raise LostError from error
