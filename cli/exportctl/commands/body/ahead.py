"""The archive fetched ahead of its job's end, where the server sends it while it makes it.

The fetch runs beside the following and waits for what only the job's end can tell: the archive's facts, or that there
will be none. What goes wrong with it ends the command as it would have later; a job that ends otherwise than well takes
what was fetched along.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

from exportctl.client.api import Api
from exportctl.client.archive import Archive
from exportctl.client.asking import PROTOCOL_2
from exportctl.commands.options import Saving
from exportctl.model.job import Job


def may_fetch_ahead(api: Api, saving: Saving) -> bool:
    """Return whether an archive may be asked for before it is whole: only servers of protocol 2 know of that."""
    return api.protocol == PROTOCOL_2 and not saving.no_live


@dataclass(slots=True, kw_only=True)
class Ahead:
    """One fetch, or none. Leaving the `async with` block ends it; what was fetched is kept unless given up."""

    _facts: asyncio.Future[Archive] = field(init=False, default_factory=asyncio.Future)
    _task: asyncio.Task[int] | None = field(init=False, default=None)

    async def __aenter__(self) -> Self:
        """Nothing has begun yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the fetch, where it still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self, fetch: Callable[[asyncio.Future[Archive]], Coroutine[None, None, int]]) -> None:
        """Start it; `fetch` is handed the future of the archive's facts and returns the command's status."""
        self._task = asyncio.create_task(fetch(self._facts))

    async def beside(self, ending: Awaitable[Job]) -> Job:
        """Wait for the job's end; raise what ends the fetch before it."""
        end = asyncio.ensure_future(ending)
        both: set[asyncio.Future[Any]] = {end} if self._task is None else {end, self._task}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self._task is not None and not end.done():
                self._task.result()
            return await end
        finally:
            end.cancel()
            await asyncio.gather(end, return_exceptions=True)

    async def give_up(self) -> None:
        """End the fetch of an archive that there will not be: nothing of it stays."""
        self._facts.cancel()
        await self.__aexit__()

    async def finish(self, archive: Archive) -> int | None:
        """Let the fetch come to its end with the facts of the whole archive; None where none has begun."""
        if self._task is None:
            return None
        self._facts.set_result(archive)
        return await self._task
