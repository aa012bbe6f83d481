"""The one HTTP client of a command: where it goes, who it is, how long it waits, which proxies it takes.

Loopback is never proxied (`CLI.md`); httpx would. A plain `http://` server gets a TLS context that trusts nobody, so
that the system's certificates, 20 ms of loading, are read only where they are needed: where such a server leads to TLS
on its own host (`Client`).
"""

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from exportctl import __version__
from exportctl.client.answering import Client
from exportctl.client.wire import Wire
from exportctl.model.errors import Usage

_LAST_PORT: Final = 65535
CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 30.0
"""Servers of protocol 1 were seen silent for 8 s while they draw (`WIRE.md`, 13)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the export server is and how it is spoken to. `url` has no user, password, query or trailing slash."""

    url: str
    correlation_id: str
    token: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    insecure: bool = False


def parse_url(text: str) -> str:
    """Return `text` as the URL of a server; raise `Usage` where it is none, without a user or password in its words."""
    shown = re.sub(r"(?s)^([^:/]*:/*)?.*@", r"\1", text)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        why = f": {error}" if shown == text else ""
        raise Usage(f"--server {shown!r} is no URL{why}", hint="for example https://export.example.org") from error
    is_host = bool(url.host) and not re.search(r"[\s%]", url.host) and not (url.port and url.port > _LAST_PORT)
    if url.scheme not in {"http", "https"} or not is_host:
        raise Usage(f"--server {shown!r} is no http or https URL", hint="for example https://export.example.org")
    if url.userinfo:
        raise Usage(
            "--server holds a user or password, which every process list would show",
            hint="use --token-file, EXPORTCTL_TOKEN, or EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD",
        )
    return str(url.copy_with(query=None, fragment=None)).rstrip("/")


def open_client(server: Server) -> Client:
    """Return the client; close it with `async with`. Raises `Usage` for a CA bundle or a proxy that makes no sense."""
    headers = {
        "User-Agent": f"exportctl/{__version__}",
        "X-Correlation-ID": server.correlation_id,
        "Accept": "application/json",
        # What is packed has no size that could be held within bounds.
        "Accept-Encoding": "identity",
    }
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    schemes = {"all", "https"} if server.url.startswith("https:") else {"all", "https", "http"}
    is_direct = is_loopback(server.url) or not getproxies().keys() & schemes
    trust = _trust(server)
    if not is_direct:
        _check_proxies()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
    try:
        return Client(
            base_url=server.url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=None),
            # httpx asks the environment for no proxy once it is given a transport.
            transport=Wire(httpx.AsyncHTTPTransport(verify=trust, limits=limits), trust) if is_direct else None,
            limits=limits,
            verify=trust,
            trust_env=not is_direct,
            follow_redirects=False,
            open_trust=lambda: _open_trust(trust, server),
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise _useless_proxy() from error


def _check_proxies() -> None:
    """Raise `Usage` for a port that no proxy can have: httpx takes it, and fails when it connects."""
    for proxy in getproxies().values():
        port = proxy.rpartition(":")[2].rstrip("/")
        if port.isdecimal() and int(port[:9]) > _LAST_PORT:
            raise _useless_proxy()


def _useless_proxy() -> Usage:
    named = ", ".join(sorted(f"{name.upper()}_PROXY" for name in getproxies()))
    return Usage(
        f"the environment's proxy cannot be used ({named})",
        hint="HTTPS_PROXY=http://HOST:PORT, and NO_PROXY names the servers that are reached without one",
    )


def proxy_of(url: str) -> str | None:
    """Return where the environment's proxy for `url` is, without what signs in to it; None where none is used."""
    host = httpx.URL(url).host
    found = getproxies()
    proxy = found.get(httpx.URL(url).scheme) or found.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(host):
        return None
    try:
        at = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    except httpx.InvalidURL:
        return None
    return f"{at.scheme}://{at.netloc.decode('ascii')}"


def is_loopback(url: str) -> bool:
    """Return whether the URL leads back to this machine."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3


def _trust(server: Server) -> ssl.SSLContext:
    """Return whom the client trusts. A bundle that is none is told for a plain server too, before anything is asked."""
    if server.url.startswith("http://"):
        if server.ca_bundle is not None:
            _default_trust(server)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = _default_trust(server)
    _loosen(context, server)
    return context


def _default_trust(server: Server) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=server.ca_bundle)
    except (OSError, ssl.SSLError) as error:
        words = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise Usage(f"--ca-bundle {server.ca_bundle}: {words}", hint="a file of certificates in PEM form") from error


def _open_trust(context: ssl.SSLContext, server: Server) -> None:
    """Let a context that trusts nobody trust whom the system, or the bundle, does."""
    if server.ca_bundle is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=server.ca_bundle)
    _loosen(context, server)


def _loosen(context: ssl.SSLContext, server: Server) -> None:
    if server.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
