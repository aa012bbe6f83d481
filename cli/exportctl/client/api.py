"""The server's HTTP API (`WIRE.md`), one method a request, answers decoded to facts.

Raises `model.errors` only. What is safe to repeat (reads, and a POST with its `Idempotency-Key`) is repeated while
the server is unreachable, with jittered exponential back-off; what waiting does not cure is raised at once.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx
import orjson

from exportctl.client import failures
from exportctl.client.http import Server
from exportctl.model.errors import ExportctlError, NotFound
from exportctl.protocol.dialects import dialect2, reading
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.events import AnyEvent, StageProgress

if TYPE_CHECKING:
    import stamina.instrumentation

PROTOCOL_2: Final = 2
ATTEMPTS: Final = 5
LONG_POLL_SECONDS: Final = 25
"""Below the 30 s after which servers answer empty and the 60 s of usual proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project that can be exported."""

    id: str
    title: str
    image_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One look at a job, as `…/status` gives it. Sizes in bytes, times in seconds or RFC 3339."""

    id: str
    project_id: str | None
    project_name: str | None
    status: str
    phase: str | None
    stage: str | None
    progress: float | None
    stage_progress: StageProgress | None
    estimated_time_remaining: float | None
    message: str | None
    created_at: str | None
    completed_at: str | None
    file_name: str | None
    file_size: int | None
    sha256: str | None
    warnings: tuple[str, ...]
    error: Object | None
    last_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A piece of a job's log. `gap`: it begins at 1 again, since the log no longer reaches back or is another one."""

    events: tuple[AnyEvent, ...]
    log: str | None
    last_seq: int
    status: str
    gap: bool


@dataclass(slots=True, kw_only=True)
class Api:
    """The API of one server. `protocol` is None until the first JSON answer fixes it.

    `on_retry` hears of each attempt that failed and is made again: why, its number, the seconds until the next.
    """

    http: httpx.AsyncClient
    server: Server
    on_retry: Callable[[ExportctlError, int, float], None] | None = None
    protocol: int | None = field(default=None, init=False)

    async def find_project(self, wanted: str) -> Project:
        """Return the project with this id, or with exactly this title; the title must be one project's alone."""
        titled: list[Project] = []
        known: list[str] = []
        page = 1
        while True:
            answer = await self._get("/api/projects", what="the list of projects", params={"page": page, "limit": 50})
            projects = [_project(one) for one in _objects(answer, "projects") if reading.text(one, "id")]
            known += [project.title for project in projects]
            for project in projects:
                if project.id == wanted:
                    return project
                if project.title == wanted:
                    titled.append(project)
            pages = reading.integer(reading.mapping(answer, "pagination") or {}, "totalPages")
            if not projects or pages is None or page >= pages:
                break
            page += 1
        if len(titled) == 1:
            return titled[0]
        if titled:
            raise NotFound(
                f"{len(titled)} projects are titled {wanted!r}",
                hint="name one by its id: " + ", ".join(project.id for project in titled[:5]),
            )
        raise NotFound(f"no project {wanted!r} on {self.server.url}", hint=f"there are {_few(known)}")

    async def start(self, project_id: str, options: Mapping[str, object], *, name: str, key: str) -> str:
        """Start an export and return its job's id. The same `key` never starts a second one."""
        answer = await self._request(
            "POST",
            f"/api/projects/{quote(project_id, safe='')}/export",
            what=f"project {project_id}",
            content=orjson.dumps({"options": options, "projectName": name}),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
            # A server of protocol 1 knows no such key: sent again it would start a second export (`WIRE.md`, 15).
            attempts=ATTEMPTS if self.protocol == PROTOCOL_2 else 1,
        )
        job_id = reading.text(answer, "jobId")
        if not job_id:
            raise failures.not_json(self.server.url, "an answer without jobId")
        return job_id

    async def status(self, project_id: str | None, job_id: str) -> JobStatus:
        """Return the job as the server sees it."""
        path = self._job_path(project_id, job_id) + "/status" if project_id else f"/api/export/{quote(job_id, safe='')}"
        return _status(await self._get(path, what=f"job {job_id}"), job_id)

    async def events(
        self, project_id: str, job_id: str, *, after: int, log: str | None, wait: int, attempts: int = ATTEMPTS
    ) -> LogPage:
        """Return what the job's log holds after `after`; held up to `wait` seconds until there is something new."""
        params: dict[str, str | int] = {"after": after, "wait": wait, "limit": 1000}
        if log is not None:
            params["log"] = log
        answer = await self._get(
            self._job_path(project_id, job_id) + "/events",
            what=f"job {job_id}",
            params=params,
            timeout=httpx.Timeout(wait + 15, connect=10),
            attempts=attempts,
        )
        return LogPage(
            events=tuple(
                dialect2.decode(reading.text(one, "event") or "", one.get("data")) for one in _objects(answer, "events")
            ),
            log=reading.text(answer, "log"),
            last_seq=reading.integer(answer, "lastSeq") or 0,
            status=reading.text(answer, "status") or "unknown",
            gap=reading.flag(answer, "gap") or False,
        )

    async def cancel(self, project_id: str, job_id: str, *, reason: str) -> None:
        """Ask the server to cancel the job; asking twice does no harm."""
        await self._request(
            "POST",
            self._job_path(project_id, job_id) + "/cancel",
            what=f"job {job_id}",
            content=orjson.dumps({"reason": reason}),
            headers={"Content-Type": "application/json"},
        )

    @asynccontextmanager
    async def open_download(
        self, project_id: str, job_id: str, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Open the archive's bytes. Any refusal is raised; the caller judges 200 and 206."""
        path = self._job_path(project_id, job_id) + "/download"
        try:
            async with self.http.stream(
                "GET", path, headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers}
            ) as response:
                if response.status_code not in {200, 206, 416}:
                    await response.aread()
                    raise failures.from_answer(
                        response.status_code, _json_or_none(response), what=f"the archive of job {job_id}"
                    )
                yield response
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.server.url) from error

    async def read(self, path: str, *, what: str, params: Mapping[str, str | int] | None = None) -> Object:
        """Return the answer of a path that has no method here; `what` names it in errors."""
        return await self._get(path, what=what, params=params)

    @staticmethod
    def _job_path(project_id: str, job_id: str) -> str:
        return f"/api/projects/{quote(project_id, safe='')}/export/{quote(job_id, safe='')}"

    async def _get(
        self,
        path: str,
        *,
        what: str,
        params: Mapping[str, str | int] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ASYNC109 - httpx's own kind: connect, read and write apart
        attempts: int = ATTEMPTS,
    ) -> Object:
        return await self._request("GET", path, what=what, params=params, timeout=timeout, attempts=attempts)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ASYNC109 - as above
        attempts: int = ATTEMPTS,
    ) -> Object:
        request = self.http.build_request(
            method,
            path,
            params=params,
            content=content,
            headers=headers,
            timeout=self.http.timeout if timeout is None else timeout,
        )
        if attempts == 1:
            return await self._ask(request, what)
        import stamina.instrumentation  # noqa: PLC0415 - 25 ms that only a command with a server needs

        stamina.instrumentation.set_on_retry_hooks([self._tell_retry])  # its own would write to standard error
        async for attempt in stamina.retry_context(
            on=_may_heal, attempts=attempts, timeout=60.0, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
        ):
            with attempt:
                return await self._ask(request, what)
        raise AssertionError  # the last attempt raised

    def _tell_retry(self, details: "stamina.instrumentation.RetryDetails") -> None:
        if self.on_retry is not None and isinstance(details.caused_by, ExportctlError):
            self.on_retry(details.caused_by, details.retry_num, details.wait_for)

    async def _ask(self, request: httpx.Request, what: str) -> Object:
        try:
            response = await self.http.send(request)
        except httpx.HTTPError as error:
            raise failures.from_transport(error, self.server.url) from error
        body = _json_or_none(response)
        if isinstance(body, dict) and self.protocol is None:
            self.protocol = 2 if response.headers.get("Export-Protocol") == "2" else 1
        if not response.is_success:
            raise failures.from_answer(response.status_code, body, what=what)
        if not isinstance(body, dict):
            raise failures.not_json(self.server.url, response.headers.get("Content-Type", ""))
        return body


def _may_heal(error: Exception) -> bool:
    return isinstance(error, ExportctlError) and failures.is_passing(error)


def _json_or_none(response: httpx.Response) -> object:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _objects(answer: Object, key: str) -> list[Object]:
    found = answer.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _few(titles: list[str]) -> str:
    shown = ", ".join(titles[:5])
    return f"{shown} and {len(titles) - 5} more" if len(titles) > 5 else shown or "none"  # noqa: PLR2004 - a line's worth


def _project(source: Object) -> Project:
    return Project(
        id=reading.text(source, "id") or "",
        title=reading.text(source, "title") or reading.text(source, "name") or "",
        image_count=reading.integer(source, "imageCount"),
    )


def _status(source: Object, job_id: str) -> JobStatus:
    archive = reading.mapping(source, "archive") or {}
    return JobStatus(
        id=reading.text(source, "id") or job_id,
        project_id=reading.text(source, "projectId"),
        project_name=reading.text(source, "projectName"),
        status=reading.text(source, "status") or "unknown",
        phase=reading.text(source, "phase"),
        stage=reading.text(source, "stage"),
        progress=reading.percent(source, "progress"),
        stage_progress=dialect2.stage_progress(source),
        estimated_time_remaining=reading.number(source, "estimatedTimeRemaining"),
        message=reading.text(source, "message"),
        created_at=reading.text(source, "createdAt"),
        completed_at=reading.text(source, "completedAt"),
        file_name=reading.text(archive, "fileName"),
        file_size=reading.integer(archive, "fileSize"),
        sha256=reading.text(archive, "sha256"),
        warnings=reading.texts(source, "warnings"),
        error=reading.mapping(source, "error"),
        last_seq=reading.integer(source, "lastSeq"),
    )
