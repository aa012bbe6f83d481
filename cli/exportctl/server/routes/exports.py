"""Start an export, look at it, cancel it, list those of before."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import orjson
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from exportctl.server import bodies
from exportctl.server.answers import Refusal, answer, answer_in_pieces, number_of, object_of, status_of
from exportctl.server.contract import Endpoint, Parameter, Promise
from exportctl.server.export.errors import ProjectError
from exportctl.server.export.options import ExportOptions, OptionsError, parse_options, to_wire
from exportctl.server.log import KeyConflictError
from exportctl.server.request import StartRequest, TooManyJobsError
from exportctl.server.site import Site
from exportctl.server.tracing import correlation_id

_HISTORY = 10
_LONGEST_HISTORY = 1000
_LONGEST_TEXT = 1000
_PIECE = 1 << 16
"""Bytes of an answer that are sent together."""

_ANNOTATIONS: list[bodies.Format] = [
    {"id": "coco", "name": "COCO", "description": "One COCO JSON file for all images"},
    {"id": "yolo", "name": "YOLO", "description": "Segmentation labels, one text file an image, and data.yaml"},
    {"id": "json", "name": "JSON", "description": "Polygons, one JSON file an image"},
]
_METRICS: list[bodies.Format] = [
    {"id": "excel", "name": "Excel", "description": "One workbook (.xlsx)"},
    {"id": "csv", "name": "CSV", "description": "Comma-separated values"},
    {"id": "json", "name": "JSON", "description": "JSON"},
]


_SHORT = Annotated[str, Meta(max_length=_LONGEST_TEXT)]
_START = Promise(
    says="Start an export",
    takes=bodies.Start,
    gives={200: bodies.Started},
    refuses=(400, 403, 404, 408, 413, 422, 429, 503),
    parameters=(
        Parameter(name="Idempotency-Key", type=_SHORT, where="header", says="Repeated, it is the same job for a day."),
        Parameter(name="X-Correlation-ID", type=_SHORT, where="header", says="Every event of the job has it."),
    ),
)
_CANCEL = Promise(
    says="Cancel a job; one that has ended stays as it is",
    takes=bodies.Cancel,
    gives={200: bodies.Cancelling},
    refuses=(400, 403, 404, 408, 413, 422),
)
_HISTORY_OF = Promise(
    says="The jobs of a project, newest first",
    gives={200: list[bodies.Job]},
    refuses=(400,),
    parameters=(
        Parameter(name="limit", type=int, says=f"{_HISTORY} where it is not given, {_LONGEST_HISTORY} at most."),
    ),
)
_STATUS = Promise(says="A job as it stands", gives={200: bodies.Job}, refuses=(404,))


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module."""

    async def formats(request: Request) -> Response:
        site.user(request)
        body: bodies.Formats = {
            "success": True,
            "annotations": _ANNOTATIONS,
            "metrics": _METRICS,
            "options": to_wire(ExportOptions()),
        }
        return answer(body)

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
            correlation=_text(request.headers.get("X-Correlation-ID"), "X-Correlation-ID") or correlation_id(),
            key=_text(request.headers.get("Idempotency-Key"), "Idempotency-Key"),
        )
        with _refusing():
            record = await site.engine.start(wanted)
        told: bodies.Started = {
            "success": True,
            "jobId": record.id,
            "message": "Export job started",
            "lastSeq": record.last_seq,
        }
        return answer(told)

    async def status(request: Request) -> Response:
        return answer(status_of(await site.job(request), site.now()))

    async def cancel(request: Request) -> Response:
        record = await site.job(request)
        reason = _text((await object_of(request)).get("reason"), "reason")
        begun = await site.engine.cancel(record, by="user", reason=reason)
        message = "Export is being cancelled" if begun else "Export has ended already, or is about to"
        told: bodies.Cancelling = {
            "success": True,
            "message": message,
            "status": "cancelling" if begun else record.status.value,
        }
        return answer(told)

    async def history(request: Request) -> Response:
        user, project = site.user(request), request.path_params["project"]
        limit = number_of(request, "limit", _HISTORY, 1, _LONGEST_HISTORY)
        # A bare list, and an empty one for a project that nobody knows, as in protocol 1: jobs of a project that is no
        # longer served are still their user's.
        return answer_in_pieces(_told_of(site, user, await site.engine.history(user, project, limit)))

    base = "/api/projects/{project}/export"
    return [
        Endpoint("/api/export/formats", formats, Promise(says="The formats", gives={200: bodies.Formats})),
        Endpoint(base, start, _START, methods=["POST"]),
        Endpoint(f"{base}/history", history, _HISTORY_OF),
        Endpoint(f"{base}/{{job}}/status", status, _STATUS),
        Endpoint(f"{base}/{{job}}/cancel", cancel, _CANCEL, methods=["POST"]),
        Endpoint("/api/export/{job}", status, _STATUS),
    ]


async def _told_of(site: Site, user: str, job_ids: Sequence[str]) -> AsyncIterator[bytes]:
    """Spell a list of jobs, one read after another: each may be megabytes of selected images."""
    text = b"["
    for job_id in job_ids:
        job = await site.engine.job(user, job_id)
        if job is None:
            continue  # forgotten meanwhile
        if len(text) > _PIECE:
            yield text
            text = b""
        text += (b"" if text == b"[" else b",") + orjson.dumps(status_of(job, site.now()))
    yield text + b"]"


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
    except KeyConflictError as error:
        raise Refusal(422, "IDEMPOTENCY_KEY_REUSED", str(error), "Use a new key for another request") from error


def _text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise Refusal(422, "BAD_PARAMETER", f"{name} must be a text of at most {_LONGEST_TEXT} characters")
    return value
