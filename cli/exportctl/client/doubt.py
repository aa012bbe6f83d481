"""A second opinion on a job of which nothing new was heard for long: the status that the server gives it.

A log that goes on saying `processing` of a job that has ended would be followed for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from exportctl.client.desk import Desk
from exportctl.client.watch import ENDED, Watch
from exportctl.model.errors import ExportctlError

DOUBT_SECONDS: Final = 60.0
"""Time without an event after which the status is asked, and again as often."""
_DOUBTS: Final = 2
"""How often, in a row, the status may say what the log does not hold: it may lag behind."""


async def doubt(desk: Desk, read_log: Callable[[Watch], Awaitable[None]]) -> None:
    """Ask for the status of each job that is silent, and end its following where the log never holds that end."""
    heard: dict[str, int] = {}
    doubts: dict[str, int] = {}
    while True:
        await asyncio.sleep(DOUBT_SECONDS)
        for job_id, watch in list(desk.watches.items()):
            is_silent = heard.get(job_id) == watch.events and not watch.ended.done()
            heard[job_id] = watch.events
            has_ended = is_silent and await _has_ended(desk, watch, read_log)
            doubts[job_id] = doubts.get(job_id, 0) + 1 if has_ended else 0
            if doubts[job_id] >= _DOUBTS:
                watch.fail_without_end()


async def _has_ended(desk: Desk, watch: Watch, read_log: Callable[[Watch], Awaitable[None]]) -> bool:
    """Whether the status calls the job ended and its log, asked after it, does not."""
    events = watch.events
    try:
        async with desk.gate:
            seen = await desk.api.status(watch.project_id, watch.job.job_id, attempts=1)
            if seen.status in ENDED:
                await read_log(watch)
    except ExportctlError:
        return False  # what it means is judged where the log is asked
    return seen.status in ENDED and watch.events == events and not watch.ended.done()
