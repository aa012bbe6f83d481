"""Sign in, and keep the session for the profile."""

import os
from pathlib import Path

import httpx

from exportctl.client import authority, failures, keychain
from exportctl.client.authority import Credentials
from exportctl.client.http import Server
from exportctl.client.jar import Jar, LockHeldError
from exportctl.client.signin import cookie_jar, kept_session
from exportctl.commands.body import credentials
from exportctl.commands.body.conducting import conduct
from exportctl.commands.body.reaching import opened
from exportctl.commands.body.session import Session
from exportctl.commands.body.target import Settings, server_settings
from exportctl.commands.options import Connection, Shared
from exportctl.config import config_file, load_profile, session_file
from exportctl.model.errors import CannotWrite, ExportctlError, Usage
from exportctl.model.lines import Log, Outcome


def login(*, email: str | None, password_stdin: bool, keyring: bool, shared: Shared, connection: Connection) -> int:
    """Sign in and keep the session; return the exit status."""
    asked: list[tuple[Settings, Credentials]] = []
    problems: list[ExportctlError] = []
    try:
        found = server_settings(connection, "login", may_be_new=connection.server is not None)
        place(shared, found)
        if keyring:
            keychain.check()
        asked.append((found, credentials.ask(email=email, password_stdin=password_stdin)))
    except ExportctlError as error:
        problems.append(error)

    def settings() -> Settings:
        for problem in problems:
            raise problem
        return asked[0][0]

    async def body(session: Session, found: Settings) -> int:
        return await _login(session, found, asked[0][1], in_keyring=keyring)

    return conduct("login", shared, settings, body, has_progress=False)


def place(shared: Shared, settings: Settings) -> Path:
    """Return the file of the profile's session. Raises `Usage` where this machine is to keep nothing, or cannot."""
    path = None if shared.no_state else session_file(settings.profile)
    if path is None:
        raise Usage(
            "a session is kept on this machine, which is to keep nothing (--no-state, EXPORTCTL_STATE=off, or no home)",
            hint="EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD sign in without keeping anything",
            code="NO_STATE",
        )
    return path


async def _login(session: Session, settings: Settings, who: Credentials, *, in_keyring: bool) -> int:
    url = str(settings.server)
    path = place(session.shared, settings)
    jar = Jar(path=path, url=url)
    server = Server(
        url=url,
        correlation_id=session.correlation_id,
        ca_bundle=settings.ca_bundle,
        insecure=settings.insecure,
    )
    session.waiting_for = "the sign-in"
    session.secrets.add(who.password)
    async with opened(session, server) as api:
        api.http.cookies = cookie_jar(url)
        try:
            async with jar.locked():
                email = await authority.sign_in(api.http, url, who, remember=True)
                await jar.write(kept_session(api.http, email, in_keyring=in_keyring))
        except LockHeldError as error:
            raise CannotWrite(f"another command holds {path}", hint="try again when it has ended") from error
        except httpx.HTTPError as error:
            raise failures.from_transport(error, url) from error
    where = "in the system's keyring" if in_keyring else f"in {path}"
    session.tell(Log(level="info", code="signed-in", message=f"signed in as {email} on {url}"))
    session.say_now(f"Signed in as {email} on {url}; the session is kept {where}")
    for code, remark in _remarks(settings).items():
        session.tell(Log(level="warning", code=code, message=remark))
        session.say_now(remark)
    return session.conclude(session.report, Outcome.OK, 0)


def _remarks(settings: Settings) -> dict[str, str]:
    """Return what keeps the session from being used as it stands."""
    remarks = {}
    if settings.token is not None:
        remarks["token-first"] = "a token is configured too, and comes before this session"
    profile = load_profile(settings.profile, may_be_new=True)
    if profile.server is None and not os.environ.get("EXPORTCTL_SERVER"):
        option = "" if settings.profile == "default" else f" --profile {settings.profile}"
        remarks["server-not-configured"] = (
            f"go on with --server {settings.server}{option}, or write into {config_file()}: "
            f'[{settings.profile}] server = "{settings.server}"'
        )
    return remarks
