"""Where sessions are kept between commands: a profile's jar, one file that only its user can read (0600).

It has one entry per server's URL, so that a cookie goes to nobody else, not even to another port of the same host.
Like ssh with a private key, a jar that others could read or have written is refused, not mended. It is replaced as a
whole, by a rename, under a lock: whoever renews a session holds the lock from the look at the kept one until the new
one is kept, since a refresh token is good once. A reader needs no lock.

With `login --keyring` the cookies lie in the system's keyring and the entry only says so.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import Cookie
from pathlib import Path
from typing import Final

import orjson

from exportctl.client import keychain
from exportctl.client.locks import takes
from exportctl.model.errors import CannotWrite, NotAllowed

_VERSION: Final = 1
_LOCK_LOOK_SECONDS: Final = 0.02
_LOCK_SECONDS: Final = 60.0
"""Longer than a server of protocol 1 takes for a renewal while it draws (`WIRE.md`, 13)."""


class LockHeldError(Exception):
    """Another command renews the session, and has not come to an end with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A session as it is kept: whose it is, and its cookies."""

    email: str | None
    cookies: tuple[Cookie, ...] = field(repr=False)
    in_keyring: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """The place of one server's session in the jar of a profile, at `path`."""

    path: Path
    url: str

    async def read(self) -> Kept | None:
        """Return the kept session, None where there is none. Raises `NotAllowed` for a jar that must not be used."""
        entry = self._entries().get(self.url)
        if not isinstance(entry, dict):
            return None
        email = entry.get("email")
        cookies = entry.get("cookies")
        in_keyring = entry.get("keyring") is True
        if in_keyring:
            text = await asyncio.to_thread(keychain.read, self._name)
            with contextlib.suppress(orjson.JSONDecodeError):
                cookies = orjson.loads(text or "[]")
        return Kept(
            email=email if isinstance(email, str) else None,
            cookies=_cookies(cookies),
            in_keyring=in_keyring,
        )

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the jar's lock. Raises `CannotWrite` where nothing can be kept, `LockHeldError` after a minute."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            async with asyncio.timeout(_LOCK_SECONDS):
                while not takes(descriptor):  # noqa: ASYNC110 - a file lock tells nobody that it is free
                    await asyncio.sleep(_LOCK_LOOK_SECONDS)
        except TimeoutError as error:
            os.close(descriptor)
            raise LockHeldError from error
        except BaseException:
            os.close(descriptor)
            raise
        try:
            yield
        finally:
            os.close(descriptor)

    async def write(self, kept: Kept) -> None:
        """Keep a session in place of the one before. Call with the lock held. Raises `CannotWrite`, `NotAllowed`."""
        records = [_record(cookie) for cookie in kept.cookies]
        entry: dict[str, object] = {"email": kept.email}
        if kept.in_keyring:
            await asyncio.to_thread(keychain.write, self._name, orjson.dumps(records).decode())
            entry["keyring"] = True
        else:
            entry["cookies"] = records
        self._replace({**self._others(), self.url: entry})

    async def remove(self) -> None:
        """Forget the session. Call with the lock held. Raises `CannotWrite`, `NotAllowed`."""
        others = self._others()
        entry: object = None
        with contextlib.suppress(NotAllowed):
            entry = self._entries().get(self.url)
        if others:
            self._replace(others)
        else:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise self._cannot_write(error) from error
        if isinstance(entry, dict) and entry.get("keyring") is True:
            await asyncio.to_thread(keychain.remove, self._name)

    @property
    def _name(self) -> str:
        """The session's name in the keyring."""
        return f"{self.path.stem} {self.url}"

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def _others(self) -> dict[str, object]:
        """Return the other servers' entries; nothing of a jar that must not be used, or says nothing."""
        try:
            entries = self._entries()
        except NotAllowed:
            return {}
        return {url: entry for url, entry in entries.items() if url != self.url}

    def _entries(self) -> dict[str, object]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise NotAllowed(f"the session in {self.path} cannot be read: {error.strerror}", code="SESSION") from error
        try:
            self._check(os.fstat(descriptor))
            text = b"".join(iter(lambda: os.read(descriptor, 65536), b""))
        finally:
            os.close(descriptor)
        with contextlib.suppress(orjson.JSONDecodeError):
            whole = orjson.loads(text)
            if isinstance(whole, dict) and whole.get("v") == _VERSION and isinstance(whole.get("servers"), dict):
                return dict(whole["servers"])
        raise NotAllowed(f"the session in {self.path} cannot be read: it is damaged, or of another version")

    def _check(self, facts: os.stat_result) -> None:
        """Raise `NotAllowed` where others could have read the jar, or written it."""
        if not stat.S_ISREG(facts.st_mode):
            raise NotAllowed(f"{self.path} is no file", code="SESSION_FILE")
        if facts.st_uid != os.geteuid():
            raise NotAllowed(f"the session in {self.path} is another user's", code="SESSION_FILE_OWNER")
        if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise NotAllowed(
                f"the session in {self.path} is not used: others can read it ({stat.S_IMODE(facts.st_mode):04o})",
                hint=f"chmod 600 {self.path}",
                code="SESSION_FILE_OPEN",
            )

    def _replace(self, entries: dict[str, object]) -> None:
        new = self.path.with_suffix(".new")  # one name, under the lock: what a killed command left is written over
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
                file.write(orjson.dumps({"v": _VERSION, "servers": entries}))
                file.flush()
                os.fsync(descriptor)
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> CannotWrite:
        return CannotWrite(
            f"the session cannot be kept in {self.path}: {error.strerror}",
            hint="EXPORTCTL_EMAIL and EXPORTCTL_PASSWORD sign in without keeping anything",
        )


def _record(cookie: Cookie) -> dict[str, object]:
    return {
        "name": cookie.name,
        "value": cookie.value,
        "domain": cookie.domain,
        "ofDomain": cookie.domain_specified,
        "path": cookie.path,
        "secure": cookie.secure,
        "expires": cookie.expires,
    }


def _cookies(records: object) -> tuple[Cookie, ...]:
    found = [_cookie(record) for record in records if isinstance(record, dict)] if isinstance(records, list) else []
    return tuple(cookie for cookie in found if cookie is not None)


def _cookie(record: dict[str, object]) -> Cookie | None:
    name, value, domain, path = (record.get(key) for key in ("name", "value", "domain", "path"))
    expires = record.get("expires")
    if not (isinstance(name, str) and isinstance(value, str) and isinstance(domain, str) and isinstance(path, str)):
        return None
    return Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=record.get("ofDomain") is True,
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=True,
        secure=record.get("secure") is True,
        expires=expires if isinstance(expires, int) else None,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest={},
    )
