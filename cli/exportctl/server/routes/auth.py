"""Sign in, renew, sign out, who is signed in (as protocol 1's web client knows it), and personal tokens."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exportctl.server.answers import Refusal, answer, object_of
from exportctl.server.auth import ACCESS_COOKIE, is_own_page
from exportctl.server.job import timestamp
from exportctl.server.people.people import People
from exportctl.server.people.sessions import ACCESS_SECONDS, Pair, SessionOverError
from exportctl.server.people.tokens import MOST_TOKENS, PersonalToken, TooManyTokensError
from exportctl.server.people.users import LONGEST_PASSWORD, User
from exportctl.server.site import Site

_REFRESH_COOKIE = "refresh_token"
_REFRESH_PATH = "/api/auth"
_FLAG_COOKIE = "authenticated"
_LONGEST_EMAIL = 254
_LONGEST_NAME = 100


def routes(site: Site) -> list[Route]:
    """Return the routes of this module: none for a server that signs nobody in."""
    if site.people is None:
        return []
    return [*_session_routes(site, site.people), *_token_routes(site, site.people)]


def _session_routes(site: Site, people: People) -> list[Route]:
    async def login(request: Request) -> Response:
        _from_own_page(request)
        if not people.users.are_there():
            hint = "Send a token: Authorization: Bearer TOKEN"
            raise Refusal(404, "NO_SIGN_IN", "This server knows no users, only tokens", hint)
        email, password, remember = _credentials(await object_of(request))
        address = request.client.host if request.client else ""
        wait = people.attempts.wait(address, email.casefold())
        if wait:
            hint = f"Try again in {math.ceil(wait / 60)} min"
            raise Refusal(429, "TOO_MANY_ATTEMPTS", "Too many failed sign-ins", hint, {"Retry-After": str(wait)})
        user = await people.users.check(email, password)
        if user is None:
            people.attempts.failed(address, email.casefold())
            raise Refusal(401, "UNAUTHORIZED", "Wrong email or password")
        body = {"success": True, "data": {"user": _shown(user)}, "message": "Signed in"}
        return _with_cookies(request, answer(body), people.sessions.open(user.id, remember=remember))

    async def refresh(request: Request) -> Response:
        _from_own_page(request)
        token = request.cookies.get(_REFRESH_COOKIE)
        if not token:
            raise Refusal(401, "UNAUTHORIZED", "Refresh token missing", "Sign in again")
        try:
            pair = people.sessions.renew(token)
        except SessionOverError as error:
            raise Refusal(401, "UNAUTHORIZED", str(error), "Sign in again") from error
        return _with_cookies(request, answer({"success": True, "data": None, "message": "Renewed"}), pair)

    async def logout(request: Request) -> Response:
        _from_own_page(request)
        people.sessions.end(request.cookies.get(_REFRESH_COOKIE, ""))
        ended = answer({"success": True, "data": None, "message": "Signed out"})
        ended.delete_cookie(ACCESS_COOKIE, path="/")
        ended.delete_cookie(_REFRESH_COOKIE, path=_REFRESH_PATH)
        ended.delete_cookie(_FLAG_COOKIE, path="/")
        return ended

    async def profile(request: Request) -> Response:
        user = people.users.find(site.user(request))
        # A token named at the server's start has a user, and nobody behind it.
        shown = _shown(user) if user else {"id": site.user(request), "email": None}
        return answer({"success": True, "data": shown})

    return [
        Route("/api/auth/login", login, methods=["POST"]),
        Route("/api/auth/refresh", refresh, methods=["POST"]),
        Route("/api/auth/refresh-token", refresh, methods=["POST"]),
        Route("/api/auth/logout", logout, methods=["POST"]),
        Route("/api/auth/profile", profile),
    ]


def _token_routes(site: Site, people: People) -> list[Route]:
    def somebody(request: Request) -> User:
        user = people.users.find(site.user(request))
        if user is None:
            raise Refusal(403, "NO_USER", "This token was named at the server's start and belongs to no user")
        return user

    async def shown(request: Request) -> Response:
        tokens = people.tokens.of(somebody(request).id)
        return answer({"success": True, "data": [_token(token) for token in tokens]})

    async def make(request: Request) -> Response:
        user = somebody(request)
        name = (await object_of(request)).get("name")
        if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
            raise Refusal(422, "BAD_PARAMETER", f"name must be a text of 1 to {_LONGEST_NAME} characters")
        try:
            token, secret = people.tokens.make(user.id, name.strip())
        except TooManyTokensError as error:
            raise Refusal(409, "TOO_MANY_TOKENS", f"You have {MOST_TOKENS} tokens", "End one of them first") from error
        return answer({"success": True, "data": _token(token) | {"token": secret}}, 201)

    async def end(request: Request) -> Response:
        if not people.tokens.end(somebody(request).id, request.path_params["token"]):
            raise Refusal(404, "TOKEN_NOT_FOUND", "No such token")
        return answer({"success": True, "data": None})

    return [
        Route("/api/auth/tokens", shown),
        Route("/api/auth/tokens", make, methods=["POST"]),
        Route("/api/auth/tokens/{token}", end, methods=["DELETE"]),
    ]


def _from_own_page(request: Request) -> None:
    if not is_own_page(request.headers):
        raise Refusal(403, "FOREIGN_ORIGIN", "This request comes from another site's page")


def _credentials(body: dict[str, Any]) -> tuple[str, str, bool]:
    email, password = body.get("email"), body.get("password")
    if not (isinstance(email, str) and 0 < len(email) <= _LONGEST_EMAIL):
        raise Refusal(400, "VALIDATION_ERROR", "email must be an email address")
    if not (isinstance(password, str) and 0 < len(password.encode("utf-8", "replace")) <= LONGEST_PASSWORD):
        raise Refusal(400, "VALIDATION_ERROR", f"password must be a text of at most {LONGEST_PASSWORD} bytes")
    return email.strip(), password, body.get("rememberMe") is True


def _with_cookies(request: Request, response: Response, pair: Pair) -> Response:
    is_secure = request.url.scheme == "https"
    for name, value, path, seconds, is_hidden in (
        (ACCESS_COOKIE, pair.access, "/", ACCESS_SECONDS, True),
        (_REFRESH_COOKIE, pair.refresh, _REFRESH_PATH, pair.refresh_seconds, True),
        (_FLAG_COOKIE, "1", "/", pair.refresh_seconds, False),
    ):
        response.set_cookie(name, value, seconds, path=path, secure=is_secure, httponly=is_hidden, samesite="strict")
    return response


def _shown(user: User) -> dict[str, Any]:
    return {"id": user.id, "email": user.email, "emailVerified": False, "createdAt": timestamp(user.created)}


def _token(token: PersonalToken) -> dict[str, Any]:
    return {"id": token.id, "name": token.name, "createdAt": timestamp(token.created)}
