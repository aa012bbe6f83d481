"""Where this user's settings lie and what a profile says: `config.toml`, one table per profile (`CLI.md`, Files).

Precedence is option, environment, profile, default; the first two are typer's. A broken file is explained with its
line. Nothing here writes the file: a profile is its user's own words. The session that `login` keeps for a profile
lies apart, in the state folder.

Without HOME the user's entry in the password database says where home is; where that is silent too (a container's
nameless user) there is no place: nothing is read and nothing kept.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from exportctl.model.errors import Usage
from exportctl.model.nearest import nearest

_STRINGS = ("server", "token", "token_file", "ca_bundle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One table of the configuration file; None for what it does not say."""

    server: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    ca_bundle: str | None = None


def config_file() -> Path:
    """Return the path of the configuration file, whether it exists or not; a relative one for the homeless."""
    import platformdirs  # noqa: PLC0415 - 12 ms that only a command with settings needs

    try:
        folder = platformdirs.user_config_path("exportctl", appauthor=False)
    except RuntimeError:
        folder = Path("~/.config/exportctl")
    return folder / "config.toml"


def state_folder() -> Path | None:
    """Return the folder for what this machine knows of jobs; None with `EXPORTCTL_STATE=off` and for the homeless."""
    if os.environ.get("EXPORTCTL_STATE") == "off":
        return None
    import platformdirs  # noqa: PLC0415 - as above

    try:
        folder = platformdirs.user_state_path("exportctl", appauthor=False)
    except RuntimeError:
        return None
    return (
        folder if folder.is_absolute() else None
    )  # older ones give ~ back, or an XDG variable that counts for nothing


def session_file(profile: str) -> Path | None:
    """Return the file in which the profile's sessions are kept; None where nothing is."""
    folder = state_folder()
    return None if folder is None else folder / "sessions" / f"{quote(profile, safe='')}.json"


def load_profile(name: str, *, may_be_new: bool = False) -> Profile:
    """Return the profile. Raises `Usage` for a broken file or an unknown profile.

    A name without a table is a profile that says nothing if it is the default one, if `login` has kept a session for
    it, or if it `may_be_new`.
    """
    path = config_file()
    tables = _tables(path)
    table = tables.get(name)
    if table is None:
        if name == "default" or may_be_new or _has_session(name):
            return Profile()
        raise Usage(f"no profile {name!r} in {path}", hint=f"known: {', '.join(sorted(tables)) or 'none'}")
    if not isinstance(table, dict):
        raise Usage(f"{path}: {name} is no table", hint=f"a line [{name}] begins it")
    for key in _STRINGS:
        if not isinstance(table.get(key, ""), str):
            raise Usage(f"{path}: {key} of [{name}] is no string{_line_of(path, name, key)}", hint=f'{key} = "..."')
    return Profile(**{key: table[key] for key in _STRINGS if key in table})


def _tables(path: Path) -> dict[str, object]:
    if not path.is_absolute():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"{path} is no TOML: {error}", hint="mend the file, or move it away") from error


def unknown_words() -> list[str]:
    """Return in words what stands in the file and means nothing, a misspelt key for one; profiles pass it over."""
    path = config_file()
    found = []
    for name, table in _tables(path).items():
        if not isinstance(table, dict):
            found.append(f"{name} stands in no table")
            continue
        for key in table.keys() - set(_STRINGS):
            near = nearest(key, _STRINGS)
            meant = f", did you mean {near}?" if near else ""
            found.append(f"{key} of [{name}] means nothing{_line_of(path, name, key)}{meant}")
    return sorted(found)


def _line_of(path: Path, name: str, key: str) -> str:
    """Return where the key of a table stands, in brackets; nothing where it is written in a less usual way."""
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if begun := re.match(r"\s*\[\s*[\"']?([^\]\"']+)[\"']?\s*\]", line):
            section = begun[1].strip()
        elif section == name and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return f" (at line {number})"
    return ""


def _has_session(name: str) -> bool:
    path = session_file(name)
    return path is not None and os.path.exists(path)  # noqa: PTH110 - answers where Path raises: a name too long
