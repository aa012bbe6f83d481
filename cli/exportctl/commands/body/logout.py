"""Sign out: end the session on the server, and forget it here."""

import httpx

from exportctl.client import authority, failures
from exportctl.client.http import Server
from exportctl.client.jar import Jar, LockHeldError
from exportctl.client.signin import adopt, cookie_jar
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.login import place
from exportctl.commands.body.reaching import opened
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.errors import CannotWrite
from exportctl.model.lines import Log, Outcome


def logout(*, shared: Shared, connection: Connection) -> int:
    """End the profile's session; return the exit status."""
    return conduct("logout", shared, lambda: server_settings(connection, "logout"), _logout, has_progress=False)


async def _logout(session: Session, settings: Settings) -> int:
    url = str(settings.server)
    jar = Jar(path=place(session.shared, settings), url=url)
    server = Server(
        url=url,
        correlation_id=session.correlation_id,
        ca_bundle=settings.ca_bundle,
        insecure=settings.insecure,
    )
    if await jar.read() is None:
        _tell(session, "info", "not-signed-in", f"nobody is signed in on {url} here")
    else:
        async with opened(session, server) as api:
            try:
                async with jar.locked():
                    await _end(session, jar, api.http, url)
            except LockHeldError as error:
                raise CannotWrite(f"another command holds {jar.path}", hint="try again when it has ended") from error
    return session.conclude(session.report, Outcome.OK, 0)


async def _end(session: Session, jar: Jar, http: httpx.AsyncClient, url: str) -> None:
    kept = await jar.read()
    http.cookies = cookie_jar(url)
    if kept is not None:
        adopt(http, kept)
        try:
            await authority.sign_out(http)
        except httpx.HTTPError as error:
            words = failures.from_transport(error, url).message
            _tell(session, "warning", "not-told", f"signed out here, but not on the server: {words}")
    await jar.remove()
    who = "" if kept is None or kept.email is None else f": {kept.email}"
    _tell(session, "info", "signed-out", f"signed out of {url}{who}")


def _tell(session: Session, level: str, code: str, message: str) -> None:
    session.tell(Log(level="warning" if level == "warning" else "info", code=code, message=message))
    session.say_now(message[:1].upper() + message[1:])
