"""Sign in, renew, sign out, who is signed in (as protocol 1's web client knows it), and personal tokens."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from exportctl.server.answers import Refusal, answer, object_of
from exportctl.server.auth import ACCESS_COOKIE
from exportctl.server.contract import Endpoint, Header, Promise
from exportctl.server.job import timestamp
from exportctl.server.people import bodies
from exportctl.server.people.people import People
from exportctl.server.people.sessions import ACCESS_SECONDS, Pair, SessionOverError
from exportctl.server.people.tokens import MOST_TOKENS, PersonalToken, TooManyTokensError
from exportctl.server.people.users import LONGEST_PASSWORD, User, spelled
from exportctl.server.site import Site, check_own_page

_REFRESH_COOKIE = "refresh_token"
_REFRESH_PATH = "/api/auth"
_FLAG_COOKIE = "authenticated"
_LONGEST_EMAIL = 254
_LONGEST_NAME = 100

_COOKIES = {
    200: [Header(name="Set-Cookie", says=f"`{ACCESS_COOKIE}`, `{_REFRESH_COOKIE}`, `{_FLAG_COOKIE}`.", is_always=True)]
}

_SIGN_IN = Promise(
    says="Sign in",
    takes=bodies.SignIn,
    gives={200: bodies.SignedIn},
    refuses=(400, 401, 403, 404, 408, 413, 429),
    headers=_COOKIES,
    is_open=True,
)
_RENEW = Promise(
    says="Renew a session by its refresh cookie, which is good once",
    gives={200: bodies.Done},
    refuses=(401, 403),
    headers=_COOKIES,
    is_open=True,
)
_SIGN_OUT = Promise(says="Sign out", gives={200: bodies.Done}, refuses=(403,), headers=_COOKIES, is_open=True)
_TOKENS = Promise(says="The personal tokens", gives={200: bodies.Tokens}, refuses=(403,))
_MAKE_TOKEN = Promise(
    says="Make a personal token",
    takes=bodies.TokenName,
    gives={201: bodies.MadeToken},
    refuses=(400, 403, 408, 409, 413, 422),
)
_END_TOKEN = Promise(says="End a personal token", gives={200: bodies.Done}, refuses=(403, 404))


def routes(site: Site) -> list[Endpoint]:
    """Return the routes of this module: none for a server that signs nobody in."""
    if site.people is None:
        return []
    people = site.people
    return [*_session_routes(people), *_profile_routes(site, people), *_token_routes(site, people)]


def _session_routes(people: People) -> list[Endpoint]:
    async def login(request: Request) -> Response:
        check_own_page(request)
        if not people.users.are_there():
            hint = "Send a token: Authorization: Bearer TOKEN"
            raise Refusal(404, "NO_SIGN_IN", "This server knows no users, only tokens", hint)
        email, password, remember = _credentials(await object_of(request))
        address = request.client.host if request.client else ""

        def allow() -> None:
            # Asked when it is this password's turn: of many that come at once each knows of those before it.
            wait = people.attempts.wait(address, email)
            if wait:
                hint = f"Try again in {math.ceil(wait / 60)} min"
                raise Refusal(429, "TOO_MANY_ATTEMPTS", "Too many failed sign-ins", hint, {"Retry-After": str(wait)})

        allow()
        user = await people.users.check(email, password, allow)
        if user is None:
            people.attempts.failed(address, email)
            raise Refusal(401, "UNAUTHORIZED", "Wrong email or password")
        people.attempts.succeeded(address, email)
        body: bodies.SignedIn = {"success": True, "data": {"user": _shown(user)}, "message": "Signed in"}
        return _with_cookies(request, answer(body), people.sessions.open(user.id, remember=remember))

    async def refresh(request: Request) -> Response:
        check_own_page(request)
        token = request.cookies.get(_REFRESH_COOKIE)
        if not token:
            raise Refusal(401, "UNAUTHORIZED", "Refresh token missing", "Sign in again")
        try:
            pair = people.sessions.renew(token)
        except SessionOverError as error:
            raise Refusal(401, "UNAUTHORIZED", str(error), "Sign in again") from error
        return _with_cookies(request, answer(_done("Renewed")), pair)

    async def logout(request: Request) -> Response:
        check_own_page(request)
        people.sessions.end(request.cookies.get(_REFRESH_COOKIE, ""))
        ended = answer(_done("Signed out"))
        ended.delete_cookie(ACCESS_COOKIE, path="/")
        ended.delete_cookie(_REFRESH_COOKIE, path=_REFRESH_PATH)
        ended.delete_cookie(_FLAG_COOKIE, path="/")
        return ended

    return [
        Endpoint("/api/auth/login", login, _SIGN_IN, methods=["POST"]),
        Endpoint("/api/auth/refresh", refresh, _RENEW, methods=["POST"]),
        Endpoint("/api/auth/refresh-token", refresh, _RENEW, methods=["POST"]),
        Endpoint("/api/auth/logout", logout, _SIGN_OUT, methods=["POST"]),
    ]


def _profile_routes(site: Site, people: People) -> list[Endpoint]:
    def whoever(request: Request) -> bodies.User:
        user_id = site.user(request)
        user = people.users.find(user_id)
        return _shown(user) if user else _shown_token(user_id)

    async def profile(request: Request) -> Response:
        body: bodies.Profile = {"success": True, "data": whoever(request), "message": "The profile"}
        return answer(body)

    async def check(request: Request) -> Response:
        user: bodies.CheckedUser = {"authenticated": True, "user": whoever(request)}
        body: bodies.Checked = {"success": True, "data": user, "message": "Signed in"}
        return answer(body)

    return [
        Endpoint("/api/auth/profile", profile, Promise(says="Who is signed in", gives={200: bodies.Profile})),
        Endpoint("/api/auth/check", check, Promise(says="Whether one is signed in", gives={200: bodies.Checked})),
    ]


def _token_routes(site: Site, people: People) -> list[Endpoint]:
    def somebody(request: Request) -> User:
        user = people.users.find(site.user(request))
        if user is None:
            raise Refusal(403, "NO_USER", "This token was named at the server's start and belongs to no user")
        return user

    async def shown(request: Request) -> Response:
        tokens = people.tokens.of(somebody(request).id)
        body: bodies.Tokens = {"success": True, "data": [_token(token) for token in tokens]}
        return answer(body)

    async def make(request: Request) -> Response:
        user = somebody(request)
        name = (await object_of(request)).get("name")
        if not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
            raise Refusal(422, "BAD_PARAMETER", f"name must be a text of 1 to {_LONGEST_NAME} characters")
        try:
            token, secret = people.tokens.make(user.id, name.strip())
        except TooManyTokensError as error:
            raise Refusal(409, "TOO_MANY_TOKENS", f"You have {MOST_TOKENS} tokens", "End one of them first") from error
        body: bodies.MadeToken = {"success": True, "data": {**_token(token), "token": secret}}
        return answer(body, 201)

    async def end(request: Request) -> Response:
        if not people.tokens.end(somebody(request).id, request.path_params["token"]):
            raise Refusal(404, "TOKEN_NOT_FOUND", "No such token")
        return answer(_done("Ended"))

    return [
        Endpoint("/api/auth/tokens", shown, _TOKENS),
        Endpoint("/api/auth/tokens", make, _MAKE_TOKEN, methods=["POST"]),
        Endpoint("/api/auth/tokens/{token}", end, _END_TOKEN, methods=["DELETE"]),
    ]


def _credentials(body: dict[str, Any]) -> tuple[str, str, bool]:
    email, password = body.get("email"), body.get("password")
    if not (isinstance(email, str) and 0 < len(email) <= _LONGEST_EMAIL):
        raise Refusal(400, "VALIDATION_ERROR", "email must be an email address")
    if not (isinstance(password, str) and 0 < len(password.encode("utf-8", "replace")) <= LONGEST_PASSWORD):
        raise Refusal(400, "VALIDATION_ERROR", f"password must be a text of at most {LONGEST_PASSWORD} bytes")
    return spelled(email), password, body.get("rememberMe") is True


def _with_cookies(request: Request, response: Response, pair: Pair) -> Response:
    is_secure = request.url.scheme == "https"
    for name, value, path, seconds, is_hidden in (
        (ACCESS_COOKIE, pair.access, "/", ACCESS_SECONDS, True),
        (_REFRESH_COOKIE, pair.refresh, _REFRESH_PATH, pair.refresh_seconds, True),
        (_FLAG_COOKIE, "1", "/", pair.refresh_seconds, False),
    ):
        response.set_cookie(name, value, seconds, path=path, secure=is_secure, httponly=is_hidden, samesite="strict")
    return response


def _done(message: str) -> bodies.Done:
    return {"success": True, "data": None, "message": message}


def _shown(user: User) -> bodies.User:
    return {
        "id": user.id,
        "email": user.email,
        "emailVerified": False,
        "isEmailVerified": False,
        "createdAt": timestamp(user.created),
    }


def _shown_token(user_id: str) -> bodies.User:
    """Show the user of a token that was named at the server's start: nobody is behind it."""
    return {"id": user_id, "email": None, "emailVerified": False, "isEmailVerified": False, "createdAt": None}


def _token(token: PersonalToken) -> bodies.Token:
    return {"id": token.id, "name": token.name, "createdAt": timestamp(token.created)}
