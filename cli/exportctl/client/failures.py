"""What httpx and the server's answers call failure, in this project's terms: the one place that turns them into ours.

Nothing of a request (headers, tokens) and nothing of a path on the server goes into a message.
"""

import os
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from exportctl.client.answering import TooLongError
from exportctl.client.http import proxy_of
from exportctl.model.errors import Busy, ExportctlError, NotAllowed, NotFound, Rejected, Unreachable
from exportctl.protocol.dialects.wording import without_paths

_TEXT_LIMIT: Final = 300
MUTE: Final = "MUTE"
"""The code of a request that was taken, or not even that, and never answered."""
NOT_JSON: Final = "NOT_JSON"
"""The code of an answer that is no JSON."""
_LATER: Final = "try again later"
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_LASTING: Final = frozenset({"TLS", "REDIRECTED", "PROXY", "TOO_LONG", "NO_ARCHIVE"})


def from_transport(error: httpx.HTTPError | httpx.InvalidURL, url: str) -> ExportctlError:
    """Return the error for a request that got no answer from the server at `url`."""
    certificate = _certificate_problem(error)
    if certificate is not None:
        return Unreachable(
            f"the certificate of {url} is not trusted: {certificate}",
            hint="--ca-bundle FILE names the authority that signed it",
            code="TLS",
        )
    words = _words(error)
    if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):
        return _proxy_wants_sign_in(_first_line(str(error)))
    code = (
        "TOO_LONG" if isinstance(error, TooLongError) else MUTE if isinstance(error, httpx.TimeoutException) else None
    )
    proxy = proxy_of(url)
    if proxy is None:
        hint = "is --server right, and does the server run?"
        return Unreachable(f"no answer from {url}: {words}", hint=hint, code=code)
    hint = f"is {proxy} the right proxy (HTTP_PROXY, HTTPS_PROXY)? NO_PROXY names servers that are reached without"
    return Unreachable(f"no answer from {url} through {proxy}: {words}", hint=hint, code=code)


def _words(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "it did not answer the connection"
        case httpx.TimeoutException():
            return "it took the request and did not answer"
        case TooLongError():
            return f"it answers without end ({_first_line(str(error))})"
        case httpx.ProxyError():
            return f"the proxy refused: {_first_line(str(error))}"
        case httpx.ConnectError():
            return _system_words(error) or _first_line(str(error)) or "the connection was refused"
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return "the request could not be made"  # the error's own words quote headers: the token is one
        case httpx.RemoteProtocolError() | httpx.ReadError() | httpx.WriteError():
            return "the connection broke"
        case _:
            return _first_line(str(error)) or type(error).__name__


def _proxy_wants_sign_in(words: str) -> Unreachable:
    return Unreachable(
        f"the proxy does not let us through: {words}",
        hint="HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT signs in to it",
        code="PROXY",
    )


def is_passing(error: ExportctlError) -> bool:
    """Return whether waiting may cure `error`: a broken way does heal; a certificate, a redirect, a refusal do not."""
    return isinstance(error, Unreachable) and error.code not in _LASTING


def from_response(response: httpx.Response, body: object, *, what: str) -> ExportctlError:
    """Return the error for an answer that is a refusal, with the wait that it asks for."""
    error = (
        _redirected(response) if response.has_redirect_location else from_answer(response.status_code, body, what=what)
    )
    error.answered = response.status_code
    error.retry_after = _retry_after(response)
    if error.retry_after and error.hint in {None, _LATER}:
        error.hint = f"it asks to be left alone for {wait_words(error.retry_after)}: try again then"
    return error


def wait_words(seconds: float) -> str:
    """Return a wait as people say it."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} minutes" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.0f} hours"


def _redirected(response: httpx.Response) -> ExportctlError:
    """Say where to; it is not followed, since it would carry the sign-in to wherever it points."""
    asked = response.request.url
    try:
        target = asked.join(response.headers["Location"])
    except httpx.InvalidURL:
        target = asked
    here, there = (f"{url.scheme}://{url.netloc.decode('ascii')}" for url in (asked, target))
    hint = "is --server the export server's address, and its path right?"
    if here != there and (asked.scheme, target.scheme) != ("https", "http"):
        hint = f"--server {there}"
    return Unreachable(f"{here} sends us on to {there}", hint=hint, code="REDIRECTED")


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, given as such or as a date by the server's own clock (RFC 9110, 10.2.3)."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        until = parsedate_to_datetime(said)
        now = parsedate_to_datetime(response.headers["Date"]) if "Date" in response.headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def from_answer(status: int, body: object, *, what: str) -> ExportctlError:
    """Return the error for an answer that is a refusal. `what` names the request in words ("project nuclei")."""
    details = body if isinstance(body, dict) else {}
    said = details.get("error")
    message = without_paths(_first_line(said if isinstance(said, str) else "") or _validation(details))[:_TEXT_LIMIT]
    hint = details.get("hint") if isinstance(details.get("hint"), str) else None
    code = details.get("code") if isinstance(details.get("code"), str) else None
    match status:
        case 401:
            return NotAllowed(
                f"not signed in: {message or 'the server knows neither session nor token'}",
                # The server's hint is for who writes requests.
                hint="is the token right (--token-file, EXPORTCTL_TOKEN)? exportctl login signs in without one",
                code=code,
            )
        case 403:
            return NotAllowed(f"not allowed: {message or what}", hint=hint, code=code)
        case 404:
            return NotFound(f"{what}: {message or 'not found'}", hint=hint, code=code)
        case 410:
            return NotFound(f"{what}: {message or 'no longer there'}", hint=hint, code=code)
        case 407:
            return _proxy_wants_sign_in(f"407 {message}".rstrip())
        case 409 | 429:
            return Busy(f"the server is busy: {message or what}", hint=hint or _LATER, code=code)
        case 400 | 413 | 422:
            return Rejected(f"the server refused the request: {message or what}", hint=hint, code=code)
        case _ if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors, RFC 9110 section 15.6
            return Unreachable(f"the server failed ({status}): {message or what}", hint=hint, code=code)
        case _:
            return Unreachable(f"the server answered {status}, which makes no sense here: {what}", hint=hint)


def not_json(url: str, content_type: str) -> ExportctlError:
    """Return the error for an answer that is no JSON."""
    return Unreachable(
        f"{url} answered {content_type or 'something without a type'} where JSON was due",
        hint="is --server the export server's address, or that of a page or proxy in front of it?",
        code=NOT_JSON,
    )


def no_archive(url: str) -> ExportctlError:
    """Return the error for a page of HTML in the place of an archive."""
    return Unreachable(
        f"{url} answered with a web page where the archive was due",
        hint="is --server the export server's address, or does a sign-in page or proxy stand in front of it?",
        code="NO_ARCHIVE",
    )


def _validation(details: dict[str, object]) -> str:
    """Protocol 1's validation errors: `{errors: [{msg, path}]}`."""
    errors = details.get("errors")
    if not isinstance(errors, list):
        return ""
    said = [
        ": ".join(_first_line(word) for word in (one.get("path"), one.get("msg")) if isinstance(word, str) and word)
        for one in errors
        if isinstance(one, dict)
    ]
    return "; ".join(word for word in said if word)


def _certificate_problem(error: BaseException) -> str | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return None


def _system_words(error: BaseException) -> str | None:
    """Return what the operating system says of a connection that failed: it lies deep below httpx's own words."""
    seen: list[BaseException | None] = [error]
    while seen:
        cause = seen.pop()
        if isinstance(cause, socket.gaierror):
            return "its name is not known"
        if isinstance(cause, ssl.SSLError):
            return "it speaks no TLS that is known here"
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno).lower()
        if isinstance(cause, BaseExceptionGroup):
            seen += reversed(cause.exceptions)
        elif cause is not None:
            seen.append(cause.__cause__ or cause.__context__)
    return None


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "").rstrip()
