"""Starting an export exactly once, on servers that know no idempotency key too (`WIRE.md`, 15).

There a POST whose answer was lost is never sent again: the job that it may have made is looked for among the jobs that
the socket told of since, and in the project's history.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

import orjson

from exportctl.client.api import Api
from exportctl.client.asking import PROTOCOL_2, is_lost
from exportctl.client.job_status import JobStatus
from exportctl.model.errors import ExportctlError, NotFound, Unreachable

LOOKS: Final = 4
LOOK_SECONDS: Final = 2.0
"""Between looks: the server may still be busy with the very request whose answer was lost (13)."""


async def start_job(
    api: Api,
    project_id: str,
    options: Mapping[str, object],
    *,
    name: str,
    key: str,
    strangers: Callable[[], Iterable[str]] = tuple,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str:
    """Start an export and return its job's id. `strangers` are the jobs that a socket has heard of so far.

    Raises what `Api.start` does; `Unreachable` where the answer was lost and no such job is found.
    """
    if api.protocol == PROTOCOL_2:
        return await api.start(project_id, options, name=name, key=key)
    before, asked_at = frozenset(strangers()), api.said_at
    try:
        return await api.start(project_id, options, name=name, key=key)
    except ExportctlError as error:
        if not is_lost(error):
            raise
        lost = error
    is_told = False
    for look in range(LOOKS):
        if look:
            await sleep(LOOK_SECONDS)
        heard = [job_id for job_id in strangers() if job_id not in before]
        try:
            found = await _in_history(api, project_id, options, heard=heard, asked_at=asked_at)
        except ExportctlError:
            continue  # the lost answer is what is to be told
        is_told = True
        if found is not None:
            return found
    if is_told:
        raise Unreachable(
            f"the answer to the start was lost, and the server has no such job ({lost.message})",
            hint="exportctl run starts it anew",
            code="START_LOST",
        ) from lost
    lost.hint = f"exportctl list {project_id} shows whether it was started"
    raise lost


async def find_started(
    api: Api,
    project_id: str,
    options: Mapping[str, object],
    *,
    name: str,
    key: str,
    asked_at: datetime | None,
    others: Collection[str],
) -> str:
    """Return the job of a start that another command has asked for, and whose answer it has not seen.

    By its key where the server knows keys: what never came to it is started now. Elsewhere it is looked for among the
    jobs made since `asked_at`; `others` are known to be of other starts. Raises `NotFound` where none is there.
    """
    if api.protocol == PROTOCOL_2:
        return await api.start(project_id, options, name=name, key=key)
    found = await _in_history(api, project_id, options, heard=(), asked_at=asked_at, others=others)
    if found is None:
        raise NotFound(
            "an export was asked for here and its answer was lost; the server has no such job",
            hint="exportctl run starts it anew",
            code="NOT_STARTED",
        )
    return found


async def _in_history(
    api: Api,
    project_id: str,
    options: Mapping[str, object],
    *,
    heard: Collection[str],
    asked_at: datetime | None,
    others: Collection[str] = (),
) -> str | None:
    wanted = orjson.loads(orjson.dumps(options))
    seen = [one for one in await api.history(project_id) if one.id not in others]
    found = [one for one in seen if _is_ours(one, wanted, heard, asked_at)]
    return max(found, key=lambda one: one.created_at or "").id if found else None


def _is_ours(seen: JobStatus, options: object, heard: Iterable[str], asked_at: datetime | None) -> bool:
    """Return whether a job is the one that was asked for: heard of since, or made since with the same options."""
    if seen.id in heard:
        return True
    if asked_at is None or seen.created_at is None or seen.options != options:
        return False
    try:
        return datetime.fromisoformat(seen.created_at) >= asked_at  # both by the server's own clock
    except (ValueError, TypeError):
        return False
