"""The one HTTP client of a command: where it goes, who it is, how long it waits, which proxies it takes.

Loopback is never proxied (`CLI.md`); httpx would. A plain `http://` server gets a TLS context that trusts nobody, so
that the system's certificates, 20 ms of loading, are read only where they are needed, and a redirect to TLS fails
closed.
"""

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from urllib.request import getproxies

import httpx

from exportctl import __version__
from exportctl.client.wire import Wire
from exportctl.model.errors import Usage

_LAST_PORT = 65535
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
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
    """Return `text` as the URL of a server; raise `Usage` where it is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise Usage(f"--server {text!r} is no URL: {error}", hint="for example https://export.example.org") from error
    is_host = bool(url.host) and not re.search(r"[\s%]", url.host) and not (url.port and url.port > _LAST_PORT)
    if url.scheme not in {"http", "https"} or not is_host:
        raise Usage(f"--server {text!r} is no http or https URL", hint="for example https://export.example.org")
    if url.userinfo:
        raise Usage(
            "--server holds a user or password, which every process list would show",
            hint="use --token-file, EXPORTCTL_TOKEN, or EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD",
        )
    return str(url.copy_with(query=None, fragment=None)).rstrip("/")


def open_client(server: Server) -> httpx.AsyncClient:
    """Return the client; close it with `async with`. Raises `Usage` for a CA bundle that cannot be read."""
    headers = {
        "User-Agent": f"exportctl/{__version__}",
        "X-Correlation-ID": server.correlation_id,
        "Accept": "application/json",
    }
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    is_direct = is_loopback(server.url) or not getproxies().keys() & {httpx.URL(server.url).scheme, "all"}
    trust = _trust(server)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
    return httpx.AsyncClient(
        base_url=server.url,
        headers=headers,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=None),
        # httpx asks the environment for no proxy once it is given a transport.
        transport=Wire(httpx.AsyncHTTPTransport(verify=trust, limits=limits), trust) if is_direct else None,
        limits=limits,
        verify=trust,
        trust_env=not is_direct,
        follow_redirects=False,
    )


def is_loopback(url: str) -> bool:
    """Return whether the URL leads back to this machine."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3


def _trust(server: Server) -> ssl.SSLContext:
    if server.url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cafile=server.ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise Usage(f"--ca-bundle {server.ca_bundle}: {error}", hint="a file of certificates in PEM form") from error
    if server.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
