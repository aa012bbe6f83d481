"""The server's certificate, which is renewed while it runs: files that change are read again, connections go on.

What a new file is wrong in is said once, and the certificate before it stays in use: a renewal writes two files, one
after the other, and is looked at again until both belong together.
"""

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path
from typing import Final

from exportctl.server.logs import facts
from exportctl.server.preconditions import StartError, read_tls
from exportctl.server.settings import Tls

logger = logging.getLogger(__name__)

_LOOK: Final = 30.0
"""Seconds between two looks at the files; a renewal comes days before the old certificate ends."""


class Certificate:
    """What a server proves who it is with; raises StartError. It listens with `context`, whatever is renewed."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = self._look()
        self.context = self._current = _read(tls)
        # Asked at every handshake, also of clients that name no server.
        self.context.sni_callback = self._choose

    async def keep(self) -> None:
        """Look after the files, for ever."""
        while True:
            await asyncio.sleep(_LOOK)
            await asyncio.to_thread(self.renew)

    def renew(self) -> None:
        """Use the files as they are now, if they have changed and are good."""
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._current = _read(self._tls)
        except StartError as error:
            logger.error(  # noqa: TRY400 - its words are all there is to know
                "The certificate was changed and cannot be used: %s. The one before it stays in use",
                error.message,
                extra=facts(event="certificate-unusable"),
            )
        else:
            logger.info("The certificate was renewed", extra=facts(event="certificate-renewed"))

    def _choose(self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_state_of(path) for path in (self._tls.certificate, self._tls.key)]


def _read(tls: Tls) -> ssl.SSLContext:
    """Read the files, and say in the log what clients will not like in them; raises StartError."""
    context = read_tls(tls)
    doubt = _doubt(context, tls.certificate)
    if doubt is not None:
        logger.warning(
            "Clients will refuse the certificate %s: %s",
            tls.certificate,
            doubt,
            extra=facts(event="certificate-doubtful"),
        )
    return context


def _doubt(context: ssl.SSLContext, certificate: Path) -> str | None:
    """Shake hands in memory with a client that trusts this very certificate, and return what it says against it."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname = False  # by what names it is reached is not known here
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        trust.load_verify_locations(certificate)
        client = trust.wrap_bio(to_client, to_server)
        server = context.wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        known = client.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return None  # of a kind that this client does not speak
    return None if known.get("subjectAltName") else "it names no host (subjectAltName)"


def _state_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file's content, links followed: a renewal often moves a link."""
    try:
        facts_of = path.stat()
    except OSError:
        return None
    return facts_of.st_ino, facts_of.st_mtime_ns, facts_of.st_size
