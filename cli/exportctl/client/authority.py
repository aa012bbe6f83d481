"""What a server says of people: sign in, renew, sign out, who am I (`WIRE.md`, HTTP of protocol 1).

The requests here go out without `auth`: they are what it is made of. Cookies land in the client's jar by themselves.
No password comes back out of here, in whatever a server answers. Besides what is said, everything raises
`httpx.HTTPError` where there is no answer.
"""

from dataclasses import dataclass, field
from typing import Final

import httpx
import orjson

from exportctl.client import failures
from exportctl.model.errors import ExportctlError, NotAllowed, Rejected
from exportctl.protocol.dialects import reading

ACCESS: Final = "access_token"
REFRESH: Final = "refresh_token"
_OTHERWISE: Final = "a server without it takes a token: --token-file FILE, or EXPORTCTL_TOKEN"


class NotNowError(httpx.TransportError):
    """No session could be had now: like any request without an answer, it can be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An email and its password."""

    email: str
    password: str = field(repr=False)


async def sign_in(http: httpx.AsyncClient, url: str, credentials: Credentials, *, remember: bool) -> str:
    """Sign in and return the email the server knows.

    `remember`: ask for the longer of the server's two lives of a session (30 days, else 7). Raises `NotAllowed`,
    `Rejected` for what cannot be an email or a password, and `NotNowError`.
    """
    asked: dict[str, object] = {"email": credentials.email, "password": credentials.password}
    if remember:
        asked["rememberMe"] = True
    response = await _post(http, "/api/auth/login", orjson.dumps(asked))
    body = _body(response)
    if not response.is_success:
        raise _refusal(response, body, url, secret=credentials.password)
    _check_session(http, url, is_json=isinstance(body, dict))
    answer = body if isinstance(body, dict) else {}
    user = reading.mapping(reading.mapping(answer, "data") or answer, "user") or {}
    return reading.text(user, "email") or credentials.email


async def refresh(http: httpx.AsyncClient) -> bool:
    """Renew the session by its refresh token; False where the server takes it no more. Raises `NotNowError`."""
    response = await _post(http, "/api/auth/refresh")
    is_passing = response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error
    if is_passing or response.has_redirect_location:
        raise NotNowError(f"the server could not renew the session ({response.status_code})")
    return response.is_success and _has_access(http)


async def sign_out(http: httpx.AsyncClient) -> None:
    """End the session on the server. Raises `NotNowError` where that is not known to have happened."""
    response = await _post(http, "/api/auth/logout")
    if not response.is_success and response.status_code != httpx.codes.UNAUTHORIZED:
        raise NotNowError(f"the server answered {response.status_code}")


async def _post(http: httpx.AsyncClient, path: str, content: bytes | None = None) -> httpx.Response:
    headers = {} if content is None else {"Content-Type": "application/json"}
    request = http.build_request("POST", path, content=content, headers=headers)
    request.headers.pop("Cookie", None)
    http.cookies.set_cookie_header(request)  # by our jar's rules: the request was made by those of a copy
    return await http.send(request, auth=None)


def _body(response: httpx.Response) -> object:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _refusal(response: httpx.Response, body: object, url: str, *, secret: str) -> Exception:
    status = response.status_code
    error = failures.from_response(response, body, what="the sign-in")
    if response.is_server_error:
        return NotNowError(f"the server could not sign anybody in ({status})")
    if response.has_redirect_location:
        return error
    if status in {404, 405}:
        return NotAllowed(f"{url} knows no sign-in by email and password", hint=_OTHERWISE, code="NO_SIGN_IN")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        when = "later" if error.retry_after is None else f"in {failures.wait_words(error.retry_after)}"
        return NotAllowed(
            f"too many attempts to sign in on {url}: it takes none for now, not even with the right password",
            hint=f"try again {when}",
            code="TOO_MANY_SIGN_INS",
        )
    said = error.message.partition(": ")[2] or error.message
    if status == httpx.codes.UNAUTHORIZED:
        error = NotAllowed(
            f"wrong email or password for {url}: {said}",
            hint="exportctl login asks for both; EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD are used where they are set",
            code="WRONG_PASSWORD",
        )
    elif isinstance(error, Rejected):
        error = Rejected(f"{url} refuses this email or password: {_details(body) or said}", code=error.code)
    elif not isinstance(error, NotAllowed):
        error = NotAllowed(f"{url} answered the sign-in with {status}", hint="is --server right?", code="SIGN_IN")
    return _without(secret, error)


def _details(body: object) -> str:
    """Protocol 1's validation of a sign-in: `{details: {email: [words]}}`."""
    details = reading.mapping(body, "details") if isinstance(body, dict) else None
    said = [f"{key}: {word}" for key in details or {} for word in reading.texts(details or {}, key)]
    return "; ".join(said)[:300]


def _without(secret: str, error: ExportctlError) -> ExportctlError:
    """Return the error without a password that a server sent back."""
    if secret and (secret in error.message or secret in (error.hint or "")):
        return type(error)("the sign-in was refused, in words that hold the password", hint=None, code=error.code)
    return error


def _has_access(http: httpx.AsyncClient) -> bool:
    return any(cookie.name == ACCESS and not cookie.is_expired() for cookie in http.cookies.jar)


def _check_session(http: httpx.AsyncClient, url: str, *, is_json: bool) -> None:
    """Raise `NotAllowed` where the server's answer leaves us without a session that we may send back."""
    if not _has_access(http):
        if not is_json:
            raise NotAllowed(
                f"{url} answered the sign-in with something that is no export server's",
                hint="is --server the export server's address, or that of a page or proxy in front of it?",
                code="SIGN_IN",
            )
        raise NotAllowed(f"{url} signed in and gave no session", hint=_OTHERWISE, code="NO_SESSION")
    request = http.build_request("GET", "/api/auth/profile")  # over TLS where the server led there
    request.headers.pop("Cookie", None)
    http.cookies.set_cookie_header(request)
    if f"{ACCESS}=" not in request.headers.get("Cookie", ""):
        raise NotAllowed(
            f"{url} gives a session that may go over https only (its cookies are Secure)",
            hint=f"--server {url.replace('http://', 'https://', 1)}, or a token: --token-file FILE",
            code="SECURE_COOKIES",
        )
