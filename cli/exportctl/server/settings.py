"""What a server is told at its start. Time and chance are among it, so that tests can choose them."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exportctl.server.export.limits import USUAL, Limits
from exportctl.server.export.names import spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One folder of images, as users see it."""

    id: str
    title: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of a certificate with its chain, and of its private key, PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """`now` gives Unix seconds, for what people read; `monotonic` seconds for intervals."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What a server says of itself: from which `level` on, as text or JSON, and whether of each request (`access`)."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    is_json: bool = False
    access: bool = False


def random_id() -> str:
    """Make a new UUID."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`tokens` maps each token to its user; times are in seconds.

    `jobs` and `jobs_per_user`: jobs without an end that there may be, and that one user may have; `jobs_at_once` of
    them are worked on, `jobs_at_once_per_user` of one user.
    `heartbeat`: silence after which a running job is said to be alive. `coalesce`: least time between two progress
    events of a job. `retention`: how long a finished archive is kept; `archives_limit`: bytes that all of them may
    take, or no limit. `history`: how long a job that has ended is known. `limits`: of one export.
    `image_seconds`: how long the work on one image may take; what is of many images may take sixteen times that.
    `stall`: how long a socket may take nothing before it is cut.
    `handshake`: how long a session may be open that is not connected, twice that at most. `ping`: time between pings
    of a session. `queue`: packets that may wait for one socket. `head_seconds`: how long the head of a request may
    take; `patience`: how long a client may take nothing of an answer. `compress`: offer permessage-deflate to
    websockets. `unix_socket` is listened at in place of host and port. `people`: users sign in with email and
    password too, and are kept in the state folder. `checks_folders`: whether a project whose folder cannot be read
    keeps the server from starting; not where jobs of before are all that matters.
    """

    tokens: Mapping[str, str]
    state: Path
    projects: tuple[Project, ...]
    workers: int
    host: str = "127.0.0.1"
    port: int = 0
    tls: Tls | None = None
    unix_socket: Path | None = None
    jobs: int = 1000
    jobs_per_user: int = 100
    jobs_at_once: int = 8
    jobs_at_once_per_user: int = 2
    ephemeral: bool = False
    checks_folders: bool = True
    people: bool = False
    heartbeat: float = 5
    coalesce: float = 0.1
    retention: float = 7 * 24 * 3600
    history: float = 365 * 24 * 3600
    archives_limit: int | None = None
    limits: Limits = USUAL
    image_seconds: float = 900
    logging: Logging = field(default_factory=Logging)
    stall: float = 30
    handshake: float = 45
    ping: float = 25
    queue: int = 64
    head_seconds: float = 20
    patience: float = 600
    compress: bool = False
    clocks: Clocks = field(default_factory=Clocks)
    new_id: Callable[[], str] = random_id


def projects_of(folders: Iterable[tuple[Path, str | None]]) -> tuple[Project, ...]:
    """Make projects of folders, each with a title or none; titles are made unique by a number.

    The id is the same whenever the same folder is served, so that a command of tomorrow finds the job of today. A
    folder given twice is one project.
    """
    projects: dict[str, Project] = {}
    titles: set[str] = set()
    for given, wanted in folders:
        folder = given.resolve()
        project_id = str(uuid.uuid5(uuid.NAMESPACE_URL, folder.as_uri()))
        if project_id in projects:
            continue
        title = base = wanted or spelled(folder.name) or "project"
        number = 2
        while title in titles:
            title, number = f"{base} ({number})", number + 1
        titles.add(title)
        projects[project_id] = Project(id=project_id, title=title, folder=folder)
    return tuple(projects.values())
