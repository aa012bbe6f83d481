"""What the command line names: the server to speak to, and what the embedded one would export."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exportctl.client.authority import Credentials
from exportctl.client.http import parse_url
from exportctl.commands.body.report import printable
from exportctl.commands.options import Connection
from exportctl.config import Profile, load_profile
from exportctl.model.errors import Usage

SAMPLE: Final = "sample"
SAMPLE_IMAGES: Final = 24
_OF_PEOPLE: Final = frozenset({"login", "logout", "whoami"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A connection's options with the profile's words filled in; `server` None means the embedded one."""

    server: str | None
    token: str | None = field(repr=False)
    ca_bundle: str | None
    insecure: bool
    profile: str = "default"
    credentials: Credentials | None = None


def settings_of(connection: Connection, *, embedded: bool = False, may_be_new: bool = False) -> Settings:
    """Return what option, environment and profile say together. Raises `Usage`.

    `may_be_new`: the profile's name may be one that nothing is known of.
    """
    profile = load_profile(connection.profile, may_be_new=may_be_new)
    server = None if embedded else connection.server or profile.server
    return Settings(
        server=None if server is None else parse_url(server),
        token=_token(connection, profile),
        ca_bundle=connection.ca_bundle or profile.ca_bundle,
        insecure=connection.insecure,
        profile=connection.profile,
        credentials=credentials(),
    )


def credentials() -> Credentials | None:
    """Return the environment's email and password, for cron and CI; None unless both are set."""
    email, password = os.environ.get("EXPORTCTL_EMAIL", "").strip(), os.environ.get("EXPORTCTL_PASSWORD", "")
    return Credentials(email=email, password=password) if email and password else None


def server_settings(connection: Connection, command: str, *, may_be_new: bool = False) -> Settings:
    """Return the settings of a command that needs a real server; raise `Usage` where none is configured."""
    settings = settings_of(connection, may_be_new=may_be_new)
    if settings.server is None:
        raise Usage(
            f"{command} needs a server: no --server, EXPORTCTL_SERVER or profile names one",
            hint=f"exportctl {command} --server https://export.example.org"
            if command in _OF_PEOPLE
            else "exportctl serve FOLDER runs one on this machine",
            code="NO_SERVER",
        )
    return settings


def resolved(folder: str) -> Path:
    """Return the whole path of a folder of images; raise `Usage` where it is relative to one that was taken away."""
    try:
        return Path(folder).resolve()
    except FileNotFoundError as error:
        raise Usage(
            "the folder that this command was called in is gone",
            hint="name the folder of images by its absolute path, or cd to another",
            code="NO_FOLDER",
        ) from error


def embedded_project(target: str, *, sample_size: int | None) -> dict[str, object]:
    """Return the embedded server's word for `target`; raise `Usage` where it is no folder."""
    if target == SAMPLE:
        return {"title": SAMPLE, "sample": SAMPLE_IMAGES if sample_size is None else sample_size}
    if sample_size is not None:
        raise Usage("--sample-size is for the sample", hint="exportctl run sample --sample-size 100")
    # os.path answers where Path raises: for a name that is too long, or in a folder closed to us.
    if not target or not os.path.exists(target):  # noqa: PTH110 - as above
        raise Usage(
            f"no such folder: {target or 'the name is empty'}",
            hint="a folder of images, the word sample, or with --server URL a project there",
            code="NO_SUCH_FOLDER",
        )
    if not os.path.isdir(target):  # noqa: PTH112 - as above
        raise Usage(f"{target} is no folder", hint="name the folder of the images", code="NOT_A_FOLDER")
    folder = resolved(target)
    try:
        os.fspath(folder).encode()
    except UnicodeEncodeError as error:
        raise Usage(f"{printable(target)}: its name is no UTF-8", hint="mv it to another name") from error
    return {"title": folder.name or "export", "folder": str(folder)}


def _token(connection: Connection, profile: Profile) -> str | None:
    """Return the bearer token by precedence: option, environment, profile."""
    if connection.token is not None:
        return _checked(connection.token, "--token")
    if connection.token_file is not None:
        return _token_in(connection.token_file)
    if os.environ.get("EXPORTCTL_TOKEN"):
        return _checked(os.environ["EXPORTCTL_TOKEN"], "EXPORTCTL_TOKEN")
    if credentials() is not None:
        return None  # the environment's too, and before the profile's
    if profile.token:
        return _checked(profile.token, "the profile's token")
    return None if profile.token_file is None else _token_in(profile.token_file)


def _token_in(path: str) -> str:
    try:
        token = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise Usage(f"--token-file {path}: {getattr(error, 'strerror', None) or 'no text'}") from error
    return _checked(token, f"--token-file {path}")


def _checked(token: str, source: str) -> str:
    """Return the token; raise `Usage`, without it, where no header could carry it."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Usage(f"{source} holds no token", hint="one line, without spaces")
    return token
