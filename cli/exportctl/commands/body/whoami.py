"""Who is signed in: asked of the server, since only it knows whether a session still holds."""

from exportctl.client import catalogue
from exportctl.client.api import Api
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.reaching import reached
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Shared
from exportctl.model.errors import NotFound
from exportctl.model.lines import Log, Outcome

_NAMELESS = "a user whose name the server does not tell"


def whoami(*, shared: Shared, connection: Connection) -> int:
    """Print the email of the one who is signed in; return the exit status."""
    return conduct("whoami", shared, lambda: server_settings(connection, "whoami"), _whoami, has_progress=False)


async def _whoami(session: Session, settings: Settings) -> int:
    async with reached(session, settings) as api:
        email = await _asked(api)
    session.tell(Log(level="info", code="signed-in", message=f"signed in as {email or _NAMELESS} on {settings.server}"))
    session.say(email or _NAMELESS)
    return session.conclude(session.report, Outcome.OK, 0)


async def _asked(api: Api) -> str | None:
    try:
        return await catalogue.user(api)
    except NotFound:
        # A server of tokens has no profiles; that it lists the projects says that it takes this one.
        await api.ask("GET", "/api/projects", what="the list of projects", params={"page": 1, "limit": 1})
        return None
