"""The server's HTTP API (`WIRE.md`), one method a request, answers decoded to facts.

Raises `model.errors` only. Both protocols are read here, the same facts are made of them; what a server does not say is
None. What is safe to repeat (reads, and a POST with its `Idempotency-Key`) is repeated as `asking` says.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx
import orjson

from exportctl.client import answers, failures
from exportctl.client.asking import ATTEMPTS, PROTOCOL_2, RESTARTS, Asker
from exportctl.client.job_status import JobStatus, read_status
from exportctl.model.errors import NotFound
from exportctl.protocol.dialects import dialect2, reading
from exportctl.protocol.dialects.reading import Object
from exportctl.protocol.events import AnyEvent

_FILE_NAME: Final = re.compile(r'filename="([^"/\\\x00-\x1f]+)"')
_MOST_PAGES: Final = 1000
"""Of projects: where a server has pages without end, looking for one must come to an end."""
LONG_POLL_SECONDS: Final = 25
"""Below the 30 s after which servers answer empty and the 60 s of usual proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project that can be exported. Times as the server gave them."""

    id: str
    title: str
    image_count: int | None = None
    description: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """What the server says of a finished archive. `size` in bytes."""

    file_name: str | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A piece of a job's log. `gap`: it begins at 1 again, since the log no longer reaches back or is another one."""

    events: tuple[AnyEvent, ...]
    log: str | None
    last_seq: int
    status: str
    gap: bool


@dataclass(slots=True, kw_only=True)
class Api(Asker):
    """The API of one server; how it is asked is `Asker`'s."""

    async def find_project(self, wanted: str) -> Project:
        """Return the project with this id, or with exactly this title; the title must be one project's alone."""
        projects: list[Project] = []
        async for project in self.projects():
            if project.id == wanted:
                return project
            projects.append(project)
        titled = [project for project in projects if project.title == wanted]
        if len(titled) == 1:
            return titled[0]
        if titled:
            raise NotFound(
                f"{len(titled)} projects are titled {wanted!r}",
                hint="name one by its id: " + ", ".join(project.id for project in titled[:5]),
            )
        raise NotFound(
            f"no project {wanted!r} on {self.url}",
            hint=f"what is there: {_few([project.title for project in projects])}",
        )

    async def projects(self, search: str | None = None) -> AsyncIterator[Project]:
        """Yield every project once, a page after the other; those that match `search` by the server's own rule."""
        seen: set[str] = set()
        for page in range(1, _MOST_PAGES + 1):
            params: dict[str, str | int] = {"page": page, "limit": 50}
            if search is not None:
                params["search"] = search
            answer = await self._get("/api/projects", what="the list of projects", params=params)
            rows = _objects(answer, "projects") or _objects(answer, "data")  # protocol 1's name for the same list
            fresh = [project for row in rows if (project := _project(row)).id and project.id not in seen]
            for project in fresh:
                seen.add(project.id)
                yield project
            pages = reading.integer(reading.mapping(answer, "pagination") or {}, "totalPages")
            if not fresh or pages is None or page >= pages:
                return

    async def start(self, project_id: str, options: Mapping[str, object], *, name: str, key: str) -> str:
        """Start an export and return its job's id. The same `key` never starts a second one."""
        answer = self._object(
            await self.ask(
                "POST",
                f"/api/projects/{quote(project_id, safe='')}/export",
                what=f"project {project_id}",
                content=orjson.dumps({"options": options, "projectName": name}),
                headers={"Content-Type": "application/json", "Idempotency-Key": key},
                # A server of protocol 1 knows no such key: sent again it would start a second export (`WIRE.md`, 15).
                attempts=RESTARTS if self.protocol == PROTOCOL_2 else 1,
                waits_for_room=False,
            )
        )
        job_id = reading.text(answer, "jobId")
        if not job_id:
            raise failures.not_json(self.url, "an answer without jobId")
        return job_id

    async def meet(self) -> None:
        """Ask anything, where nothing was asked yet: the first JSON answer fixes the protocol (`WIRE.md`)."""
        if self.protocol is None:
            await self._get("/api/projects", what="the list of projects", params={"page": 1, "limit": 1})

    async def status(self, project_id: str | None, job_id: str, *, attempts: int = ATTEMPTS) -> JobStatus:
        """Return the job as the server sees it."""
        path = self._job_path(project_id, job_id) + "/status" if project_id else f"/api/export/{quote(job_id, safe='')}"
        try:
            return read_status(await self._get(path, what=f"job {job_id}", attempts=attempts), job_id)
        except NotFound as error:
            if self.protocol == PROTOCOL_2:
                raise
            if project_id is None:
                return await self._found_in_histories(job_id)
            raise forgotten(job_id) from error

    async def _found_in_histories(self, job_id: str) -> JobStatus:
        """Look a job up without its project's id, which protocol 1 has no request for."""
        async for project in self.projects():
            for seen in await self.history(project.id):
                if seen.id == job_id:
                    return seen
        raise NotFound(f"no job {job_id} in any project's history", hint="name it as PROJECT/JOB")

    async def history(self, project_id: str) -> list[JobStatus]:
        """Return the project's last jobs, the newest first."""
        path = f"/api/projects/{quote(project_id, safe='')}/export/history"
        answer = await self.ask("GET", path, what=f"the jobs of project {project_id}")
        found = answer if isinstance(answer, list) else _objects(self._object(answer), "jobs")
        return [read_status(one, id_) for one in found if isinstance(one, dict) and (id_ := reading.text(one, "id"))]

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
        if not isinstance(answer.get("events"), list):
            raise failures.not_json(self.url, "an answer without events")
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
        await self.ask(
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
        async with self.stream(
            "GET",
            self._job_path(project_id, job_id) + "/download",
            {"Accept": "*/*", "Accept-Encoding": "identity", **headers},
            accepts=frozenset({200, 206, 416}),
            what=f"the archive of job {job_id}",
        ) as response:
            yield response

    @asynccontextmanager
    async def open_live(
        self, project_id: str, job_id: str, *, offset: int, etag: str | None
    ) -> AsyncIterator[httpx.Response]:
        """Open the bytes from `offset` on of an archive in the making, of this making where `etag` says which.

        Any refusal but 412 and 416 is raised; whether it is offered at all is to be seen from the answer.
        """
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if etag is not None:
            headers["If-Match"] = etag
        async with self.stream(
            "GET",
            f"{self._job_path(project_id, job_id)}/download?live=1&offset={offset}",
            headers,
            accepts=frozenset({200, 412, 416}),
            what=f"the archive of job {job_id}",
        ) as response:
            yield response

    async def head_download(self, project_id: str, job_id: str) -> httpx.Headers:
        """Return the headers of the archive, without its bytes: a range would not do on protocol 1 (`WIRE.md`, 10)."""
        async with self.stream(
            "HEAD",
            self._job_path(project_id, job_id) + "/download",
            {"Accept": "*/*", "Accept-Encoding": "identity"},
            accepts=frozenset({200}),
            what=f"the archive of job {job_id}",
        ) as response:
            return response.headers

    async def measure(self, project_id: str, job_id: str) -> ArchiveFacts:
        """Return what the server says of the archive, by its headers."""
        headers = await self.head_download(project_id, job_id)
        named = _FILE_NAME.search(headers.get("Content-Disposition", ""))
        return ArchiveFacts(
            file_name=None if named is None else named[1],
            size=answers.length_in(headers) if answers.is_plain(headers) else None,
        )

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
        return self._object(await self.ask("GET", path, what=what, params=params, timeout=timeout, attempts=attempts))

    def _object(self, answer: object) -> Object:
        if not isinstance(answer, dict):
            raise failures.not_json(self.url, "a list")
        return answer


def _objects(answer: Object, key: str) -> list[Object]:
    found = answer.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _few(titles: list[str]) -> str:
    shown = ", ".join(titles[:5])
    return f"{shown} and {len(titles) - 5} more" if len(titles) > 5 else shown or "none"  # noqa: PLR2004 - a line's worth


def _project(source: Object) -> Project:
    count = reading.integer(source, "imageCount")
    if count is None:
        count = reading.integer(reading.mapping(source, "_count") or {}, "images")  # protocol 1
    return Project(
        id=reading.text(source, "id") or "",
        title=reading.text(source, "title") or reading.text(source, "name") or "",
        image_count=count,
        description=reading.text(source, "description"),
        created_at=reading.text(source, "createdAt"),
        updated_at=reading.text(source, "updatedAt"),
    )


def forgotten(job_id: str) -> NotFound:
    """Return the error for a job that a protocol 1 server does not know: its jobs live in memory (`WIRE.md`, 8)."""
    return NotFound(
        f"job {job_id} is not there: the server restarted and forgot the job, or never had it",
        hint="exportctl run starts a new export",
        code="FORGOTTEN",
    )
