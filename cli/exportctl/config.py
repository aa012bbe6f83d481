"""Where this user's settings lie and what a profile says: `config.toml`, one table per profile (`CLI.md`, Files).

Precedence is option, environment, profile, default; the first two are typer's. A broken file is explained with its
line.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from exportctl.model.errors import Usage

_STRINGS = ("server", "token", "token_file", "ca_bundle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One table of the configuration file; None for what it does not say."""

    server: str | None = None
    token: str | None = None
    token_file: str | None = None
    ca_bundle: str | None = None


def config_file() -> Path:
    """Return the path of the configuration file, whether it exists or not."""
    from platformdirs import user_config_path  # noqa: PLC0415 - 12 ms that only a command with settings needs

    return user_config_path("exportctl", appauthor=False) / "config.toml"


def state_folder() -> Path | None:
    """Return the folder for what this machine knows of jobs; None with `EXPORTCTL_STATE=off`."""
    if os.environ.get("EXPORTCTL_STATE") == "off":
        return None
    from platformdirs import user_state_path  # noqa: PLC0415 - as above

    return user_state_path("exportctl", appauthor=False)


def load_profile(name: str) -> Profile:
    """Return the profile; the default one may be missing. Raises `Usage` for a broken file or an unknown profile."""
    path = config_file()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        tables = {}
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"{path} is no TOML: {error}", hint="mend the file, or move it away") from error
    table = tables.get(name)
    if table is None:
        if name == "default":
            return Profile()
        raise Usage(f"no profile {name!r} in {path}", hint=f"known: {', '.join(sorted(tables)) or 'none'}")
    if not isinstance(table, dict):
        raise Usage(f"{path}: {name} is no table", hint=f"a line [{name}] begins it")
    for key in _STRINGS:
        if not isinstance(table.get(key, ""), str):
            raise Usage(f"{path}: {key} of [{name}] is no string")
    return Profile(**{key: table[key] for key in _STRINGS if key in table})
