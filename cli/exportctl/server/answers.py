"""What HTTP answers look like: JSON, errors, and the status of a job.

An error is `{success: false, error, code, hint?, requestId?}` in English,
with no path of this machine and no traceback, whatever went wrong.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match, Route

from exportctl.server import bodies
from exportctl.server.full_disk import is_full
from exportctl.server.job import JobRecord, timestamp
from exportctl.server.log import LogFullError
from exportctl.server.tracing import request_id

logger = logging.getLogger(__name__)

_UNAUTHORIZED = 401
_LONGEST_SELECTION = 100
_WRONG_METHOD = 405
_LATER = {"Retry-After": "30"}
PAUSE_HEADER = "Export-Pause"
"""The seconds that an answer in two pieces pauses between them."""
LARGEST_BODY = 1 << 20
BODY_SECONDS = 20.0
"""How long a body may take to come."""


class Refusal(Exception):
    """The request is answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        error: str,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.hint = hint
        self.headers = headers


def answer(
    body: Mapping[str, object] | Sequence[Mapping[str, object]],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with JSON that no cache may keep."""
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(body), status, kept, "application/json")


def answer_in_pieces(pieces: AsyncIterator[bytes]) -> Response:
    """Answer with JSON that may be large, sent as it is spelled and as the client takes it."""
    return StreamingResponse(pieces, 200, {"Cache-Control": "no-store"}, "application/json")


def refused(refusal: Refusal) -> Response:
    """Answer with an error."""
    body: bodies.Refused = {"success": False, "error": refusal.error, "code": refusal.code}
    if refusal.hint:
        body["hint"] = refusal.hint
    if (request := request_id()) is not None:
        body["requestId"] = request
    # A 401 says how one may sign in, whatever it is about (RFC 9110, 15.5.2).
    challenge = {"WWW-Authenticate": "Bearer"} if refusal.status == _UNAUTHORIZED else {}
    return answer(body, refusal.status, {**challenge, **(refusal.headers or {})})


async def on_refusal(_request: Request, error: Exception) -> Response:
    """Turn a Refusal into its answer."""
    if not isinstance(error, Refusal):
        raise TypeError(error)
    return refused(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Turn Starlette's own refusals (no such route, wrong method) into our form."""
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    if error.status_code == _WRONG_METHOD:
        # Starlette names those of one route of the path (RFC 9110, 15.5.6).
        error.headers = {"Allow": ", ".join(sorted(_methods_of(request)))}
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP_ERROR")
    return refused(Refusal(error.status_code, code, error.detail, headers=error.headers))


def _methods_of(request: Request) -> set[str]:
    routes = (route for route in request.app.routes if isinstance(route, Route))
    here = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in here for method in route.methods or ()}


async def on_fault(_request: Request, _error: Exception) -> Response:
    """Answer for a fault of ours; Starlette raises it again for the server's own log."""
    return refused(Refusal(500, "INTERNAL_ERROR", "The server made a mistake", "Please report it"))


async def on_unkept(_request: Request, error: Exception) -> Response:
    """Answer where a database of the state folder cannot be written, or read: nothing was done."""
    if isinstance(error, LogFullError) or is_full(error):
        refusal = Refusal(503, "DISK_FULL", "The server's disk is full", "Free some space on the server", _LATER)
    else:
        logger.error("The state cannot be kept: %s", error)
        hint = "Look into the server's own messages"
        refusal = Refusal(503, "STATE_UNUSABLE", "The server cannot use its own disk", hint, _LATER)
    return refused(refusal)


async def object_of(request: Request) -> dict[str, Any]:
    """Read a request's body as a JSON object, `{}` if it is empty; raises Refusal (400, 408, 413)."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Refusal(413, "BODY_TOO_LARGE", f"The body is larger than {LARGEST_BODY} bytes")
    except TimeoutError as error:
        headers = {"Connection": "close"}
        raise Refusal(408, "BODY_TOO_SLOW", "The body did not come in time", headers=headers) from error
    except ClientDisconnect as error:
        raise Refusal(400, "BODY_INCOMPLETE", "The body did not come whole") from error
    if not body:
        return {}
    try:
        value = orjson.loads(bytes(body))
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "BROKEN_JSON", "The body is not valid JSON") from error
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        # It is read deeper than it can be written again.
        raise Refusal(400, "BROKEN_JSON", "The body is nested too deep") from error
    if not isinstance(value, dict):
        raise Refusal(400, "NOT_AN_OBJECT", "The body must be a JSON object")
    return value


def number_of(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Read a whole number from the query, brought into its range; raises Refusal (400)."""
    given = request.query_params.get(name)
    if given is None:
        return default
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise Refusal(400, "BAD_PARAMETER", f"{name} must be a whole number")
    # Beyond this many digits the range decides anyway.
    return min(max(int(given[:19]), least), most)


def status_of(record: JobRecord, now: float) -> bodies.Job:
    """Spell a job's status as it is at `now` (Unix seconds): an archive whose time is over is none."""
    archive = record.archive
    expired = archive is not None and archive.expires <= now
    return {
        "id": record.id,
        "jobId": record.id,
        "projectId": record.project,
        "userId": record.user,
        "status": record.status.value,
        "phase": record.phase,
        "stage": record.stage,
        "stageProgress": record.stage_progress,
        "progress": record.progress,
        "message": "Export completed; the time of its archive is over" if expired else record.message,
        "estimatedTimeRemaining": record.eta,
        "log": record.log,
        "lastSeq": record.last_seq,
        "archive": None if archive is None or expired else archive.to_wire(),
        "filePath": None if archive is None or expired else archive.file_name,
        "expiresAt": None if archive is None else timestamp(archive.expires),
        "error": None if record.error is None else record.error.to_wire(),
        "warnings": record.warnings,
        "createdAt": timestamp(record.created),
        "completedAt": None if record.completed is None else timestamp(record.completed),
        "options": record.options,
        "projectName": record.project_name,
        "correlationId": record.correlation,
    }


def row_of(record: JobRecord, now: float) -> bodies.Job:
    """Spell a job's status for a list of many, its options without a long selection of images."""
    row = status_of(record, now)
    if len(record.options.get("selectedImageIds", ())) > _LONGEST_SELECTION:
        row["options"] = {key: value for key, value in record.options.items() if key != "selectedImageIds"}
    return row


def sync_of(record: JobRecord) -> dict[str, Any]:
    """Spell `export:status-sync`: a job as it is, for a socket that begins to follow it."""
    return {
        "jobId": record.id,
        "projectId": record.project,
        "status": record.status,
        "phase": record.phase,
        "stage": record.stage,
        "stageProgress": record.stage_progress,
        "progress": record.progress,
        "message": record.message,
        "lastSeq": record.last_seq,
        "log": record.log,
    }
