"""A server that signs people in, as protocol 1 was seen to (`WIRE.md`, and the transcript `auth.ndjson`).

A real one, over real sockets: opaque access tokens with an end, refresh tokens that are good once, cookies with the
observed attributes, refusals in the observed Czech, a Socket.IO handshake that takes the cookie alone.
"""

import asyncio
import contextlib
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

INNER_TOKEN = "token-behind-the-gate"
EMAIL, PASSWORD = "ana@example.com", "tajné heslo č. 1"


@dataclass
class People:
    """What the server does; a test turns the knobs while it runs.

    `access_uses`: how many requests one access token lets in, None for as many as its time allows.
    """

    access_seconds: float = 900.0
    access_uses: int | None = None
    refresh_seconds: int = 604800
    is_secure: bool = False
    has_cookies: bool = True
    projects: list[dict] = field(default_factory=lambda: [_project(n) for n in range(1, 24)])
    asked: Counter = field(default_factory=Counter)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    cookies_seen: list[tuple[str, str]] = field(default_factory=list)
    sign_in_answer: tuple[int, dict, dict] | None = None
    refresh_answer: tuple[int, dict] | None = None
    hold_refresh: threading.Event | None = None
    holds_before: bool = False
    access: dict[str, float] = field(default_factory=dict)
    uses: Counter = field(default_factory=Counter)
    refresh: dict[str, bool] = field(default_factory=dict)
    rotations: int = 0
    reused: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end_access(self) -> None:
        """Let every access token be over on the server, whatever its cookie says."""
        self.access = dict.fromkeys(self.access, 0.0)

    def end_everything(self) -> None:
        self.end_access()
        self.refresh.clear()

    def refusal(self, token: str | None) -> str | None:
        """Return why a token is refused, None for one that is good."""
        if not token:
            return "Chybí autentizační token"
        if token not in self.access:
            return "Neplatný token"
        self.uses[token] += 1
        is_used_up = self.access_uses is not None and self.uses[token] > self.access_uses
        return "Token vypršel" if is_used_up or time.monotonic() >= self.access[token] else None

    def issue(self, answer: JSONResponse, *, remember: bool) -> JSONResponse:
        access, refresh = f"access-{secrets.token_urlsafe(24)}", f"refresh-{secrets.token_urlsafe(24)}"
        self.access[access] = time.monotonic() + self.access_seconds
        self.refresh[refresh] = remember
        life = 2592000 if remember else self.refresh_seconds
        common = {"samesite": "strict", "secure": self.is_secure}
        if self.has_cookies:
            answer.set_cookie("access_token", access, max_age=900, path="/", httponly=True, **common)
            answer.set_cookie("refresh_token", refresh, max_age=life, path="/api/auth", httponly=True, **common)
            answer.set_cookie("authenticated", "1", max_age=life, path="/", **common)
        return answer


def _project(number: int) -> dict:
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "title": f"Spheroidy č. {number}",
        "description": None,
        "type": "spheroid",
        "createdAt": "2026-11-24T03:15:08.264Z",
        "updatedAt": "2026-11-24T03:15:08.264Z",
        "_count": {"images": number},
    }


def _refused(words: str, status: int = 401, code: str = "UNAUTHORIZED") -> JSONResponse:
    return JSONResponse({"success": False, "error": words, "code": code}, status)


def _refusal_of(body: dict) -> JSONResponse | None:
    if "@" not in str(body.get("email", "")):
        details = {"email": ["Neplatná emailová adresa"]}
        return JSONResponse(
            {"success": False, "error": "Validation error", "code": "VALIDATION_ERROR", "details": details}, 400
        )
    is_right = (body["email"].lower(), body.get("password")) == (EMAIL, PASSWORD)
    return None if is_right else _refused("Neplatné přihlašovací údaje")


def _renewing(people: People) -> Route:
    async def held() -> None:
        if people.hold_refresh is not None:
            people.asked["held"] += 1
            await asyncio.to_thread(people.hold_refresh.wait, 60)

    async def refresh(request: Request) -> JSONResponse:
        people.asked["refresh"] += 1
        if people.refresh_answer is not None:
            return JSONResponse(people.refresh_answer[1], people.refresh_answer[0], {"Location": "https://x.example/"})
        token = request.cookies.get("refresh_token")
        if not token:
            return _refused("Chybí refresh token")
        if token not in people.refresh:
            people.reused += 1
            return _refused("Neplatný nebo vypršený refresh token")
        if people.holds_before:
            await held()
            return _refused("späť")  # nobody is there to read it
        remember = people.refresh.pop(token)
        people.rotations += 1
        answer = people.issue(JSONResponse({"success": True, "data": None}), remember=remember)
        await held()
        return answer

    return Route("/api/auth/refresh", refresh, methods=["POST"])


def signing(people: People) -> list[Route]:
    async def login(request: Request) -> JSONResponse:
        people.asked["login"] += 1
        body = await request.json()
        if people.sign_in_answer is not None:
            status, answer, headers = people.sign_in_answer
            return JSONResponse(answer, status, headers)
        refusal = _refusal_of(body)
        if refusal is not None:
            return refusal
        user = {"id": "f6ff3965", "email": EMAIL, "emailVerified": False}
        answer = JSONResponse({"success": True, "data": {"user": user}, "message": "Přihlášení bylo úspěšné"})
        return people.issue(answer, remember=body.get("rememberMe") is True)

    async def logout(request: Request) -> JSONResponse:
        people.asked["logout"] += 1
        people.refresh.pop(request.cookies.get("refresh_token", ""), None)
        answer = JSONResponse({"success": True, "data": None, "message": "Odhlášení bylo úspěšné"})
        answer.delete_cookie("access_token", path="/")
        answer.delete_cookie("refresh_token", path="/api/auth")
        answer.delete_cookie("authenticated", path="/")
        return answer

    return [
        Route("/api/auth/login", login, methods=["POST"]),
        _renewing(people),
        Route("/api/auth/logout", logout, methods=["POST"]),
    ]


def _showing(people: People) -> list[Route]:
    def guarded(make):
        async def route(request: Request) -> JSONResponse:
            people.asked[request.url.path] += 1
            people.cookies_seen.append((request.url.path, request.headers.get("cookie", "")))
            refusal = people.refusal(request.cookies.get("access_token"))
            return _refused(refusal) if refusal else make(request)

        return route

    def profile(_request: Request) -> JSONResponse:
        return JSONResponse({"success": True, "data": {"id": "f6ff3965", "email": EMAIL, "language": "cs"}})

    def projects(request: Request) -> JSONResponse:
        page, limit = int(request.query_params.get("page", 1)), int(request.query_params.get("limit", 10))
        search = request.query_params.get("search", "")
        found = [project for project in people.projects if search in project["title"]]
        rows = found[(page - 1) * limit : page * limit]
        pages = -(-len(found) // limit)
        return JSONResponse(
            {
                "success": True,
                "data": rows,
                "pagination": {"page": page, "limit": limit, "total": len(found), "totalPages": pages},
            }
        )

    def formats(_request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "annotations": [
                    {"id": "coco", "name": "COCO", "description": "Common Objects in Context format"},
                    {"id": "yolo", "name": "YOLO", "description": "You Only Look Once format"},
                ],
                "metrics": [{"id": "excel", "name": "Excel", "description": "Microsoft Excel format (.xlsx)"}],
            }
        )

    return [
        Route("/api/auth/profile", guarded(profile)),
        Route("/api/projects", guarded(projects)),
        Route("/api/export/formats", guarded(formats)),
    ]


def _application(people: People) -> socketio.ASGIApp:
    sockets = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])

    @sockets.event
    async def connect(_sid, environ, _auth) -> None:
        cookies = dict(part.strip().split("=", 1) for part in environ.get("HTTP_COOKIE", "").split(";") if "=" in part)
        people.asked["socket"] += 1
        token = cookies.get("access_token")
        refusal = people.refusal(token)
        if refusal:
            words = "Authentication failed" if token else "Authentication token required"
            raise socketio.exceptions.ConnectionRefusedError(words)
        people.asked["socket connected"] += 1

    return socketio.ASGIApp(sockets, other_asgi_app=Starlette(routes=signing(people) + _showing(people)))


@contextlib.contextmanager
def serving(inner=None, **knobs):
    """Run the server in a thread of its own.

    `inner`: a context manager of an ASGI application for all but `/api/auth`, which takes `INNER_TOKEN`.
    """
    people = People(**knobs)
    started, end, loop_of = threading.Event(), asyncio.Event(), []
    thread = threading.Thread(target=asyncio.run, args=[_serve(people, inner, started, end, loop_of)], daemon=True)
    thread.start()
    assert started.wait(30), "the server did not start"
    try:
        yield people
    finally:
        if people.hold_refresh is not None:
            people.hold_refresh.set()
        loop_of[0].call_soon_threadsafe(end.set)
        thread.join(30)
        assert not thread.is_alive()


async def _serve(people: People, inner, started: threading.Event, end: asyncio.Event, loop_of: list) -> None:
    loop_of.append(asyncio.get_running_loop())
    async with contextlib.AsyncExitStack() as stack:
        application = _application(people)
        if inner is not None:
            application = _gate(people, application, await stack.enter_async_context(inner))
        config = uvicorn.Config(
            application,
            port=0,
            log_level="critical",
            ws="websockets-sansio",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.005)
        people.port = server.servers[0].sockets[0].getsockname()[1]
        started.set()
        await end.wait()
        server.should_exit = server.force_exit = True
        await serving


def _gate(people: People, signing, inner):
    """Let those through who are signed in, as the one user of the server behind."""

    async def application(scope, receive, send) -> None:
        if scope["path"].startswith("/api/auth/"):
            await signing(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in {b"cookie", b"authorization"}]
        refusal = people.refusal(Request({**scope, "type": "http"}).cookies.get("access_token"))
        people.asked[f"{scope['type']} {'refused' if refusal else 'let in'}"] += 1
        if refusal is None:
            headers.append((b"authorization", f"Bearer {INNER_TOKEN}".encode()))
        elif scope["type"] == "http":
            await _refused(refusal)(scope, receive, send)
            return
        await inner({**scope, "headers": headers}, receive, send)

    return application
