"""What must hold before a server starts: its folders, its state, its certificate, and a place to listen at.

What does not hold is a StartError, told before anything is begun.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from exportctl.server.folder_store import folder_in
from exportctl.server.full_disk import is_full
from exportctl.server.settings import Settings, Tls

_BACKLOG = 1024
_HINTS = {
    errno.EADDRINUSE: "Choose another --port, or 0 for any free one",
    errno.EACCES: "Ports below 1024 are the system's: choose another --port, or have a proxy in front",
}
_LOOKS, _PAUSE = 100, 0.05
_LEAST = 1 << 20
"""Bytes of a disk that is not full."""


class StartError(Exception):
    """The server cannot start; `code`, `message` and `hint` are for the user."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def check_folder(folder: Path) -> None:
    """Look into a project's folder; raises StartError."""
    try:
        with os.scandir(folder):
            return
    except FileNotFoundError as error:
        raise StartError("NO_SUCH_FOLDER", f"There is no folder {folder}", "Check the path") from error
    except NotADirectoryError as error:
        raise StartError(
            "NOT_A_FOLDER", f"{folder} is not a folder", "Name the folder that holds the images"
        ) from error
    except PermissionError as error:
        hint = "Check who may read it (ls -ld)"
        raise StartError("NO_PERMISSION", f"The folder {folder} cannot be read", hint) from error


def make_state(state: Path) -> None:
    """Make the state folder, for its owner alone; raises StartError."""
    try:
        # One after the other: a mode is that of the last folder alone.
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder_in(state).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise unusable(state, error) from error


def check_owner(state: Path) -> None:
    """Keep root from another user's state: what it made there, that user's server could not read. Raises StartError."""
    owner = _owner(state)
    if os.geteuid() == 0 and owner not in {None, _name(0)}:
        raise StartError(
            "STATE_UNUSABLE", f"The state folder {state} is that of {owner}, and this is root", _as(owner, state)
        )


def unusable(state: Path, error: Exception) -> StartError:
    """Say what is wrong with a state folder, by the error that it met or was caused by, and what to do."""
    cause = error.__cause__ or error
    number = cause.errno if isinstance(cause, OSError) else None
    sqlite = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    another = "or give another folder (--state)"
    if not isinstance(cause, OSError | sqlite3.Error):
        return StartError("STATE_UNUSABLE", f"{error} ({state})", f"Use that version, {another}")
    if is_full(cause) or (sqlite and _has_no_room(state)):
        return StartError("DISK_FULL", f"The disk of the state folder {state} is full", f"Free some space, {another}")
    code, where = "STATE_UNUSABLE", f"The state folder {state} cannot be used"
    if number == errno.EROFS or sqlite == sqlite3.SQLITE_READONLY:
        return StartError(code, f"{where}: it can only be read", f"Let it be written, {another}")
    if number in {errno.EACCES, errno.EPERM}:
        owner = _owner(state)
        hint = (
            _as(owner, state)
            if owner not in {None, _name(os.geteuid())}
            else "See who may do so (ls -ld, on each part)"
        )
        return StartError(code, f"{where}: {cause.strerror if isinstance(cause, OSError) else cause}", hint)
    if sqlite in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        hint = "Put a saved one in its place (docs/serving.md), or give another folder (--state)"
        return StartError(code, f"{where}: {error}", hint)
    said = cause.strerror if isinstance(cause, OSError) else error
    return StartError(code, f"{where}: {said}", "Give another folder for the state (--state)")


def _has_no_room(state: Path) -> bool:
    """Say whether that is why SQLite could neither read nor write: it calls a file that cannot grow an I/O error."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(state).free < _LEAST
    return False


def _owner(path: Path) -> str | None:
    """Return whose a file is, as far as that can be seen."""
    try:
        return _name(path.stat().st_uid)
    except OSError:
        return None


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _as(owner: str | None, state: Path) -> str:
    if owner == _name(0):  # no server is to be root's
        return f"Give it to this user (chown -R {_name(os.geteuid())} {state}), or give another folder (--state)"
    return f"Run it as that user (sudo -u {owner}), or give another folder (--state)"


@contextlib.asynccontextmanager
async def alone(state: Path) -> AsyncIterator[None]:
    """Have the state folder for this server alone, which may have to wait for one that is just ending."""
    try:
        lock = (state / "lock").open("w")
    except OSError as error:
        raise unusable(state, error) from error
    with lock:
        for look in range(_LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if look == _LOOKS - 1:
                    hint = "Give each server a state folder of its own (--state)"
                    raise StartError(
                        "STATE_IN_USE", f"Another server runs on the state folder {state}", hint
                    ) from error
                await asyncio.sleep(_PAUSE)
            else:
                break
        yield


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[socket.socket]:
    """Listen where the settings say; raises StartError."""
    if settings.unix_socket is None:
        with _bind(settings.host, settings.port) as listening:
            yield listening
        return
    path = settings.unix_socket
    with _bind_unix(path) as listening:
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        in_use = number == errno.EADDRINUSE
        raise StartError(
            "PORT_IN_USE" if in_use else "CANNOT_LISTEN",
            f"Port {port} on {host} is taken" if in_use else f"Cannot listen on {host} port {port}: {error}",
            _HINTS.get(number or 0, "Give an address of this machine (--host)"),
        ) from error
    # Inherited by its connections: asyncio's own loop sets it on none, and answers would wait 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _bind_unix(path: Path) -> socket.socket:
    """Listen at a socket that its owner and group may use; one that a killed server left is taken away first."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket() and not _is_answered(path):
            path.unlink()
        listening.bind(str(path))
        path.chmod(0o660)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        in_use = error.errno == errno.EADDRINUSE
        raise StartError(
            "SOCKET_IN_USE" if in_use else "CANNOT_LISTEN",
            f"{path} is there already" if in_use else f"Cannot listen at {path}: {error.strerror or error}",
            "Choose another --unix-socket",
        ) from error
    return listening


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


def read_tls(tls: Tls) -> ssl.SSLContext:
    """Read certificate and key; raises StartError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, path in (("certificate", tls.certificate), ("private key", tls.key)):
        try:
            path.open("rb").close()  # not read: what a pipe gives it gives once
        except OSError as error:
            hint = "Check the path, and who may read it (ls -l)"
            raise StartError("BAD_CERTIFICATE", f"The {name} {path} cannot be read: {error.strerror}", hint) from error

    def nobody_to_ask() -> str:
        raise StartError(
            "BAD_CERTIFICATE",
            f"The key {tls.key} is locked by a pass phrase, and a server has nobody to ask for it",
            f"openssl pkey -in {tls.key} -out KEY makes one without",
        )

    try:
        context.load_cert_chain(tls.certificate, tls.key, nobody_to_ask)
    except OSError as error:  # ssl.SSLError is one
        raise StartError("BAD_CERTIFICATE", *_wrong_with(tls, error)) from error
    return context


def _wrong_with(tls: Tls, error: OSError) -> tuple[str, str]:
    """Return in words what is wrong with files that OpenSSL takes not, and what to do."""
    if isinstance(error, ssl.SSLError) and error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
        message = f"The key {tls.key} is not the one of the certificate {tls.certificate}"
        return message, "Give the two that were made together; the server's own certificate is the first of its file"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(tls.certificate)
    except OSError:
        return (
            f"The certificate {tls.certificate} is no certificate in PEM form",
            "It begins with -----BEGIN CERTIFICATE",
        )
    if isinstance(error, ssl.SSLError) and error.reason and error.reason != "PEM_LIB":
        return f"The certificate {tls.certificate} with {tls.key} cannot be used: {error}", "Have another one made"
    return (
        f"The key {tls.key} is no private key in PEM form",
        "It begins with -----BEGIN PRIVATE KEY, or RSA or EC for that",
    )


def address_of(settings: Settings, listening: socket.socket) -> str:
    """Return where a server listens: a URL, or `unix:` and the path of its socket."""
    if settings.unix_socket is not None:
        return f"unix:{settings.unix_socket}"
    return url_of(settings.host, listening.getsockname()[1], is_secret=settings.tls is not None)


def url_of(host: str, port: int, *, is_secret: bool) -> str:
    """Return the URL of a server."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_secret else 'http'}://{shown}:{port}"
