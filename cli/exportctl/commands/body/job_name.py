"""`JOB` on the command line: `PROJECT/JOB`, a job's id or the beginning of one, or `@last`.

What this machine knows comes first: it names the server and the project too, so that no option has to. Then the
server is asked. Where an option or variable names a server, only what is known of that one counts: any other job is
looked for there. `@last` alone is nobody's but the server's that it is known on: another one is an error. A profile's
token goes to no other server than the profile's.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from exportctl.client.api import Api
from exportctl.client.http import parse_url
from exportctl.client.job_status import JobStatus
from exportctl.client.parking import find_place
from exportctl.commands.body.memory import Memory
from exportctl.commands.body.target import Settings, server_settings, settings_of
from exportctl.commands.options import Connection, Shared
from exportctl.config import load_profile, state_folder
from exportctl.model.errors import ExportctlError, NotFound, Rejected, Usage
from exportctl.store.jobs import ENDED, KnownJob, Status
from exportctl.store.parked import EMBEDDED, is_parked, parked_name

LAST: Final = "@last"
LEAST_LETTERS: Final = 6
_SHOWN: Final = 5
_UUID_LETTERS: Final = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A job as it was named: its project where that is known, its id or the beginning of one, what is known here."""

    text: str
    project_id: str | None
    word: str
    known: KnownJob | None


def parse_name(text: str, memory: Memory, connection: Connection) -> Named:
    """Return what `text` names. Raises `Usage` for what cannot be a name, `NotFound` where `@last` is none."""
    if text == LAST:
        known = memory.ask(lambda jobs: jobs.last(), None)
        if known is None:
            raise NotFound("this machine knows of no job yet", hint="name it as PROJECT/JOB")
        return Named(text=text, project_id=known.project_id, word=known.job_id, known=known)
    project_id, slash, word = text.rpartition("/")
    if not word or (slash and not project_id) or text.startswith("@"):
        raise Usage(f"{text!r} names no job", hint="PROJECT/JOB, the beginning of a job's id, or @last")
    if not slash and len(word) < LEAST_LETTERS:
        raise Usage(f"{text!r} is too short to name a job", hint=f"at least {LEAST_LETTERS} letters of its id")
    found = memory.ask(lambda jobs: jobs.starting_with(word, project_id=project_id or None), list[KnownJob]())
    if connection.server is not None:
        server = parse_url(connection.server)
        found = [job for job in found if job.server in {server, EMBEDDED} or is_parked(job.server)]
    if len(found) > 1 and len({job.job_id for job in found}) == 1:
        servers = ", ".join(job.server for job in found[:_SHOWN])
        raise Usage(f"job {found[0].job_id} is known on several servers: {servers}", hint="--server URL says on which")
    if len(found) > 1:
        raise ambiguous(text, [f"{job.project_id}/{job.job_id}" for job in found])
    known = found[0] if found else None
    return Named(
        text=text,
        project_id=(known.project_id if known else None) or project_id or None,
        word=known.job_id if known else word,
        known=known,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The jobs of one server, by their places in the command line; `problem` is what keeps it from being reached."""

    indices: tuple[int, ...]
    settings: Settings
    problem: ExportctlError | None = None


def groups_of(names: Sequence[Named], connection: Connection, command: str) -> list[Group]:
    """Return the jobs by their servers, the first named first. Raises `Usage` where they contradict the options.

    What is wrong with one job's server, known here alone, is that job's trouble.
    """
    by_server: dict[str | None, list[int]] = {}
    for index, named in enumerate(names):
        by_server.setdefault(None if named.known is None else named.known.server, []).append(index)
    groups: list[Group] = []
    for server, indices in by_server.items():
        known = names[indices[0]].known
        if known is None or server is None:
            # Not known here: of the configured server, or, where none is, of that of the others.
            others = [one.known for one in names if one.known is not None]
            is_configured = settings_of(connection).server is not None or not others
            settings = (
                server_settings(connection, command) if is_configured else settings_of_known(others[0], connection)
            )
            groups.append(Group(indices=tuple(indices), settings=settings))
            continue
        try:
            groups.append(Group(indices=tuple(indices), settings=settings_of_known(known, connection)))
        except NotFound as problem:
            nowhere = replace(settings_of(connection, embedded=True), server=server)
            groups.append(Group(indices=tuple(indices), settings=nowhere, problem=problem))
    return groups


def settings_for(names: Sequence[Named], connection: Connection, command: str) -> Settings:
    """Return the settings for the one server of this job. Raises `Usage`, `NotFound`."""
    [group] = groups_of(names, connection, command)
    if group.problem is not None:
        raise group.problem
    return group.settings


def settings_of_known(known: KnownJob, connection: Connection) -> Settings:
    """Return the settings for the server of a job that is known here. Raises `Usage`, `NotFound`."""
    if known.server == EMBEDDED or is_parked(known.server):
        if not _is_there(known):
            place = f"; its archive is {known.output}" if known.is_saved and known.output else ""
            raise NotFound(
                f"job {known.job_id} ran on the embedded server, which ended with its command{place}",
                hint=None if place else "exportctl run makes a new one",
            )
        return replace(settings_of(connection, embedded=True), server=known.server)
    if connection.server is not None and parse_url(connection.server) != known.server:
        raise Usage(
            f"job {known.job_id} is on {known.server}, and --server or EXPORTCTL_SERVER names {connection.server}",
            hint="leave one of them out",
        )
    profile_name = known.profile if connection.profile == "default" and known.profile else connection.profile
    profile = load_profile(profile_name)
    of_profile = None if profile.server is None else parse_url(profile.server)
    is_other = of_profile is not None and of_profile != known.server
    if is_other and connection.profile != "default":
        raise Usage(f"job {known.job_id} is on {known.server}, and profile {profile_name} names {of_profile}")
    settings = settings_of(replace(connection, server=known.server, profile=profile_name))
    is_given = connection.token or connection.token_file or os.environ.get("EXPORTCTL_TOKEN")
    return replace(settings, token=None) if is_other and not is_given else settings


def _is_there(known: KnownJob) -> bool:
    state = state_folder()
    return (
        state is not None
        and is_parked(known.server)
        and find_place(state / "embedded", parked_name(known.server)) is not None
    )


async def find_job(api: Api, named: Named) -> JobStatus:
    """Return the job as the server sees it; its `project_id` is known. Raises `NotFound`, `Usage`."""
    try:
        status = await api.status(named.project_id, named.word)
    except (NotFound, Rejected) as unknown:
        known = named.known
        if isinstance(unknown, NotFound) and known is not None and known.is_saved and known.output is not None:
            raise NotFound(f"{unknown.message}; its archive is {known.output}", code=unknown.code) from unknown
        if known is not None or not LEAST_LETTERS <= len(named.word) < _UUID_LETTERS:
            raise
        status = await _begins_so(api, named, unknown)
    if status.project_id is None and named.project_id is not None:
        status = replace(status, project_id=named.project_id)
    if status.project_id is None:
        raise NotFound(f"the server does not say which project job {named.word} is of", hint="name it as PROJECT/JOB")
    return status


async def _begins_so(api: Api, named: Named, unknown: ExportctlError) -> JobStatus:
    """Look for the beginning of an id in the histories of its project, or of all. Raises `unknown` where it is none."""
    found: dict[str, JobStatus] = {}
    projects = [named.project_id] if named.project_id else [project.id async for project in api.projects()]
    for project_id in projects:
        try:
            history = await api.history(project_id)
        except NotFound as error:
            error.hint = "exportctl projects lists the ids"  # the server's own words are for those who ask by HTTP
            raise
        for seen in history:
            if seen.id.startswith(named.word):
                found[seen.id] = replace(seen, project_id=seen.project_id or project_id)
    if not found:
        if named.project_id:  # servers know no jobs of a project that they do not know (`WIRE.md`, HTTP)
            unknown.hint = unknown.hint or "exportctl projects lists the ids"
        raise unknown
    if len(found) > 1:
        raise ambiguous(named.text, [f"{seen.project_id}/{seen.id}" for seen in found.values()])
    return next(iter(found.values()))


def ambiguous(text: str, jobs: Sequence[str]) -> Usage:
    """Return the error for a name that several jobs have."""
    more = f" and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else ""
    return Usage(
        f"{text!r} begins several jobs: {', '.join(jobs[:_SHOWN])}{more}", hint="more of its letters", code="AMBIGUOUS"
    )


def learn(memory: Memory, named: Named, seen: JobStatus) -> None:
    """Note an end of the job that the server has told."""
    known = named.known
    if known is not None and seen.status in ENDED:
        status = cast("Status", seen.status)
        memory.note_end(known, status)


def way_back(shared: Shared, connection: Connection) -> str:
    """Return the options that a later command needs to find a job again, where this machine keeps nothing of it."""
    if connection.server is None or connection.server == os.environ.get("EXPORTCTL_SERVER"):
        return ""
    if not shared.no_state and os.environ.get("EXPORTCTL_STATE") != "off":
        return ""
    return f" --server {shlex.quote(connection.server)}"
