"""What every request needs at hand, and the two questions every route asks: who is it, and whose job is it."""

from dataclasses import dataclass

from starlette.requests import Request

from exportctl.server.answers import Refusal
from exportctl.server.archive_store import ArchiveStore
from exportctl.server.auth import ACCESS_COOKIE, Guard, SignInError, bearer, is_form, is_own_page
from exportctl.server.crowd import Crowd
from exportctl.server.engine import Engine
from exportctl.server.job import JobRecord
from exportctl.server.log import EventLog
from exportctl.server.meters import Meters
from exportctl.server.people.people import People
from exportctl.server.pool import Pool
from exportctl.server.settings import Project, Settings
from exportctl.server.tickets import AnotherTicketError, TicketError, Tickets

_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts of a running server."""

    settings: Settings
    log: EventLog
    archives: ArchiveStore
    pool: Pool
    engine: Engine
    guard: Guard
    tickets: Tickets
    people: People | None
    meters: Meters
    crowd: Crowd

    def now(self) -> float:
        """Return Unix seconds."""
        return self.settings.clocks.now()

    def user(self, request: Request) -> str:
        """Return who sends the request; raises Refusal (401, 403, 429)."""
        token, access = bearer(request.headers.get("Authorization")), request.cookies.get(ACCESS_COOKIE)
        if not token and request.method not in _SAFE:
            check_own_page(request)
        try:
            user = self.guard.user_of(token, access)
        except SignInError as error:
            hint = "Send the server's token: Authorization: Bearer TOKEN"
            if self.people is not None:
                hint = "Sign in (POST /api/auth/login), or send a token: Authorization: Bearer TOKEN"
            raise Refusal(401, "UNAUTHORIZED", str(error), hint) from error
        request.scope["exportctl.user"] = user  # for the access log
        self.crowd.enter(request.scope, user)
        return user

    def project(self, request: Request) -> Project:
        """Return the project of the path; raises Refusal (404)."""
        project = self.engine.projects.get(request.path_params["project"])
        if project is None:
            raise Refusal(404, "PROJECT_NOT_FOUND", "No such project", "GET /api/projects lists them")
        return project

    async def job(self, request: Request) -> JobRecord:
        """Return the job of the path, if it is this user's and of the path's project; raises Refusal (401, 404)."""
        return _of_path(request, await self.engine.job(self.user(request), request.path_params["job"]))

    async def job_by_ticket(self, request: Request) -> JobRecord:
        """Return the job of the path to whoever has a download token for it, else as `job`; Refusal (401, 403, 404)."""
        token = request.query_params.get("token")
        if not token:
            return await self.job(request)
        job_id = request.path_params["job"]
        try:
            self.tickets.check(token, job_id)
        except AnotherTicketError as error:
            raise Refusal(403, "FORBIDDEN", str(error), "Ask for a token of this job") from error
        except TicketError as error:
            raise Refusal(401, "UNAUTHORIZED", str(error), "Ask for a new one: POST …/download-token") from error
        record = _of_path(request, await self.log.job(job_id))
        if not self.guard.knows(record.user):
            raise Refusal(401, "UNAUTHORIZED", "Invalid download token: its user was removed")
        self.crowd.enter(request.scope, record.user)
        return record


def check_own_page(request: Request) -> None:
    """Raise Refusal (403) for a request that a page of another site may have had sent."""
    if not is_own_page(request.headers):
        raise Refusal(403, "FOREIGN_ORIGIN", "This request comes from another site's page")
    if is_form(request.headers):
        hint = "Send it with Content-Type: application/json"
        raise Refusal(403, "FORM_REFUSED", "A form of another site's page could be sent so", hint)


def _of_path(request: Request, record: JobRecord | None) -> JobRecord:
    # A job whose folder is no longer served is still its user's.
    if record is None or request.path_params.get("project", record.project) != record.project:
        raise Refusal(404, "JOB_NOT_FOUND", "No such export job")
    return record
