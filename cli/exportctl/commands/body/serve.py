"""The export server by itself, until Ctrl-C. Its address and, where it made one, its token go to standard output."""

import contextlib
import dataclasses
import logging
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

import httpx

from exportctl.client.http import is_loopback
from exportctl.commands.body import serve_users
from exportctl.commands.body.amount import whole_amount
from exportctl.commands.body.refusing import refuse
from exportctl.commands.body.target import resolved
from exportctl.commands.configured import misspelt
from exportctl.commands.serve import Listening, Said, Who, Work
from exportctl.config import state_folder
from exportctl.model.errors import CannotWrite, ExportctlError, Unreachable, Usage
from exportctl.server.export.limits import Limits, cores, pixels_for
from exportctl.server.logs import facts
from exportctl.server.preconditions import StartError, url_of
from exportctl.server.run import serve as run_server
from exportctl.server.service import tell_manager
from exportctl.server.settings import Logging, Settings, Tls, projects_of

_DAY: Final = 24 * 3600
_MINUTE: Final = 60
_WORD: Final = re.compile(r"[!-~]+")

logger = logging.getLogger(__name__)


def serve(folders: list[str], *, listening: Listening, who: Who, work: Work, said: Said) -> int:
    """Serve the folders, or change who may sign in; return the exit status once it has ended."""
    kept = Path(work.state) if work.state else (state_folder() or Path.cwd()) / "server"
    try:
        if serve_users.is_wanted(who):
            return serve_users.change(who, kept, folders)
        return _serve(folders, listening, who, _settings(work, said, kept), _remarks(listening, who, said))
    except ExportctlError as error:
        return refuse("serve", error)


def _serve(folders: list[str], listening: Listening, who: Who, settings: Settings, remarks: list[str]) -> int:
    if not folders:
        raise Usage("missing argument 'FOLDER...'", hint="exportctl serve --help")
    missing = next((folder for folder in folders if not Path(folder).is_dir()), None)
    if missing is not None:
        raise Usage(f"no such folder: {missing}", hint="each FOLDER holds images and polygons", code="NO_SUCH_FOLDER")
    kept = settings.state
    tls, has_users = _tls(listening), serve_users.are_there(kept)
    _check_reach(listening, is_secret=bool(tls), is_known=bool(who.token) or has_users)
    _check_tokens(who.token or [])
    made = [] if who.token or has_users else [secrets.token_urlsafe(24)]
    settings = dataclasses.replace(
        settings,
        # Each token is a user of its own; the number is the place on the command line, so that a restart
        # finds its jobs.
        tokens={token: f"user-{number}" for number, token in enumerate(who.token or made, start=1)},
        projects=projects_of((resolved(folder), None) for folder in folders),
        host=listening.host,
        port=listening.port,
        tls=tls,
        unix_socket=Path(listening.unix_socket) if listening.unix_socket else None,
        ping=listening.ping_interval,
        patience=listening.patience * _MINUTE,
        compress=listening.compress,
    )

    def ready(url: str) -> None:
        for remark in remarks:
            logger.warning(remark, extra=facts(event="settings"))
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"{url}\n" + "".join(f"token: {token}\n" for token in made))
            sys.stdout.flush()
        tell_manager("READY=1")
        if sys.stderr is not None and sys.stderr.isatty():
            titles = ", ".join(project.title for project in settings.projects)
            sys.stderr.write(f"Serving {titles}. Jobs are kept in {kept}. Ctrl-C ends the server.\n")
            if listening.unix_socket is None:
                # What comes behind # is sent nowhere: the page takes it out of the address.
                sys.stderr.write(f"In a browser: {url}/{f'#token={made[0]}' if made else ''}\n")

    try:
        run_server(settings, ready)
    except StartError as error:
        kind: type[ExportctlError] = {"DISK_FULL": CannotWrite, "STATE_UNUSABLE": CannotWrite}.get(error.code, Usage)
        if error.code in {"PORT_IN_USE", "SOCKET_IN_USE", "CANNOT_LISTEN"}:
            kind = Unreachable
        raise kind(error.message, hint=error.hint, code=error.code) from error
    return 0


def _settings(work: Work, said: Said, kept: Path) -> Settings:
    """Return what is said of the work; where the server listens and for whom comes after. Raises `Usage`."""
    workers = work.workers or cores()
    return Settings(
        tokens={},
        state=kept,
        projects=(),
        workers=workers,
        jobs=work.jobs,
        jobs_per_user=work.jobs_per_user,
        jobs_at_once=work.jobs_at_once,
        jobs_at_once_per_user=work.jobs_at_once_per_user,
        retention=work.archives_days * _DAY,
        history=work.history_days * _DAY,
        archives_limit=whole_amount(work.archives_limit),
        limits=Limits(
            images=work.max_images,
            total_bytes=whole_amount(work.max_bytes),
            pixels=min(whole_amount(work.max_pixels) or pixels_for(workers), Limits().pixels),
        ),
        image_seconds=work.image_minutes * _MINUTE,
        logging=Logging(level=said.log_level, is_json=said.log_format == "json", access=said.access_log),
        people=True,
    )


def _tls(listening: Listening) -> Tls | None:
    if listening.unix_socket is not None and (listening.tls_cert or listening.tls_key):
        raise Usage("--unix-socket speaks no TLS", hint="the proxy in front of it does")
    if listening.tls_cert is None and listening.tls_key is None:
        return None
    if listening.tls_cert is None or listening.tls_key is None:
        raise Usage("--tls-cert and --tls-key belong together", hint="give both, as files in PEM form")
    return Tls(certificate=Path(listening.tls_cert), key=Path(listening.tls_key))


def _check_tokens(tokens: list[str]) -> None:
    """Refuse what no client could send, or what is two users at once."""
    for number, token in enumerate(tokens, start=1):
        if not _WORD.fullmatch(token):
            raise Usage(f"token {number} is empty, or no word of plain letters", hint="openssl rand -hex 24 makes one")
        if token in tokens[: number - 1]:
            raise Usage(f"token {number} is there before: each is a user of its own", hint="give each another")


def _remarks(listening: Listening, who: Who, said: Said) -> list[str]:
    """Return what is not wrong, but hardly meant."""
    groups = (Listening, Work, Who, Said)
    remarks = misspelt(["folders", *(field.name for group in groups for field in dataclasses.fields(group))])
    if listening.tls_key and _is_for_all(listening.tls_key):
        remarks.append(f"everybody on this machine can read the private key: chmod o= {listening.tls_key}")
    if said.config and _is_for_all(said.config, stat.S_IWOTH):
        remarks.append(f"everybody on this machine can change the settings: chmod o-w {said.config}")
    # A token of the environment, or of the command line, is not the file's.
    if said.config and _is_for_all(said.config) and any(token in _text(said.config) for token in who.token or ()):
        remarks.append(f"everybody on this machine can read the token there: chmod o= {said.config}")
    return remarks


def _is_for_all(path: str, what: int = stat.S_IRWXO) -> bool:
    with contextlib.suppress(OSError):
        return bool(Path(path).stat().st_mode & what)
    return False


def _text(path: str) -> str:
    with contextlib.suppress(OSError, ValueError):
        return Path(path).read_text("utf-8")
    return ""


def _is_near(host: str) -> bool:
    with contextlib.suppress(httpx.InvalidURL):
        if host:
            return is_loopback(url_of(host, 0, is_secret=False))
    raise Usage(f"--host {host!r} is no address", hint="--host 0.0.0.0, or ::, is all of this machine")


def _check_reach(listening: Listening, *, is_secret: bool, is_known: bool) -> None:
    """Refuse to be reached from beyond this machine in the clear, or by nobody who was named."""
    if listening.unix_socket is not None or _is_near(listening.host):
        return
    if not is_secret and not listening.allow_plain_http:
        raise Usage(
            f"--host {listening.host} is reached from elsewhere, and passwords would go there in the clear",
            hint="--tls-cert FILE --tls-key FILE, or --allow-plain-http where a proxy in front speaks TLS",
            code="NO_TLS",
        )
    if not is_known:
        raise Usage(
            f"--host {listening.host} is reached from elsewhere, and no user or token is known",
            hint="exportctl serve --add-user EMAIL, or --token TOKEN",
            code="NO_USERS",
        )
