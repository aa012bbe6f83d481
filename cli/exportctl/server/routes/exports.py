"""Start an export, look at it, cancel it, list those of before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import Refusal, answer, number_of, object_of, status_of
from exportctl.server.engine import StartRequest, TooManyJobsError
from exportctl.server.export.errors import ProjectError
from exportctl.server.export.options import ExportOptions, OptionsError, parse_options, to_wire
from exportctl.server.log import KeyConflictError, LogFullError
from exportctl.server.site import Site

_HISTORY = 10
_LONGEST_HISTORY = 1000
_LONGEST_TEXT = 1000

_FORMATS: dict[str, Any] = {
    "annotations": [
        {"id": "coco", "name": "COCO", "description": "One COCO JSON file for all images"},
        {"id": "yolo", "name": "YOLO", "description": "Segmentation labels, one text file an image, and data.yaml"},
        {"id": "json", "name": "JSON", "description": "Polygons, one JSON file an image"},
    ],
    "metrics": [
        {"id": "excel", "name": "Excel", "description": "One workbook (.xlsx)"},
        {"id": "csv", "name": "CSV", "description": "Comma-separated values"},
        {"id": "json", "name": "JSON", "description": "JSON"},
    ],
}


def routes(site: Site) -> list[Route]:
    """Return the routes of this module."""

    async def formats(request: Request) -> Response:
        site.user(request)
        return answer({"success": True, **_FORMATS, "options": to_wire(ExportOptions())})

    async def start(request: Request) -> Response:
        user, project = site.user(request), site.project(request)
        body = await object_of(request)
        wire = body.get("options", {})
        try:
            options = parse_options(wire)
        except OptionsError as error:
            raise Refusal(422, "BAD_OPTIONS", error.message, f"See {error.where} in the request") from error
        wanted = StartRequest(
            user=user,
            project=project,
            options=options,
            wire=wire,
            project_name=_text(body.get("projectName"), "projectName"),
            correlation=_text(request.headers.get("X-Correlation-ID"), "X-Correlation-ID"),
            key=_text(request.headers.get("Idempotency-Key"), "Idempotency-Key"),
        )
        with _refusing():
            record = await site.engine.start(wanted)
        message = "Export job started"
        return answer({"success": True, "jobId": record.id, "message": message, "lastSeq": record.last_seq})

    async def status(request: Request) -> Response:
        return answer(status_of(await site.job(request), site.now()))

    async def cancel(request: Request) -> Response:
        record = await site.job(request)
        reason = _text((await object_of(request)).get("reason"), "reason")
        begun = await site.engine.cancel(record, by="user", reason=reason)
        message = "Export is being cancelled" if begun else "Export has ended already, or is about to"
        return answer({"success": True, "message": message, "status": "cancelling" if begun else record.status})

    async def history(request: Request) -> Response:
        user, project = site.user(request), site.project(request)
        limit = number_of(request, "limit", _HISTORY, 1, _LONGEST_HISTORY)
        jobs = await site.engine.history(user, project.id, limit)
        # A bare list, as in protocol 1.
        return answer([status_of(job, site.now()) for job in jobs])

    base = "/api/projects/{project}/export"
    return [
        Route("/api/export/formats", formats),
        Route(base, start, methods=["POST"]),
        Route(f"{base}/history", history),
        Route(f"{base}/{{job}}/status", status),
        Route(f"{base}/{{job}}/cancel", cancel, methods=["POST"]),
        Route("/api/export/{job}", status),
    ]


@contextmanager
def _refusing() -> Iterator[None]:
    """Say why no job was made."""
    try:
        yield
    except ProjectError as error:
        raise Refusal(422, error.code, error.message, error.hint) from error
    except TooManyJobsError as error:
        message = f"You have {error.limit} unfinished exports already"
        hint = "Wait for one to finish, or cancel one"
        if error.of_all:
            message = f"The server has {error.limit} unfinished exports already"
            hint = "Ask again in a while"
        raise Refusal(429, "RATE_LIMIT_EXCEEDED", message, hint, {"Retry-After": "5"}) from error
    except LogFullError as error:
        hint = "Free some space on the server"
        raise Refusal(503, "DISK_FULL", "The server's disk is full", hint, {"Retry-After": "30"}) from error
    except KeyConflictError as error:
        raise Refusal(422, "IDEMPOTENCY_KEY_REUSED", str(error), "Use a new key for another request") from error


def _text(value: object, name: str) -> str | None:
    if value is None or not value:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise Refusal(422, "BAD_PARAMETER", f"{name} must be a text of at most {_LONGEST_TEXT} characters")
    return value
