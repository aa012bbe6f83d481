"""One running job's pen: it holds the record as of now and logs each event with the record that goes with it."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from exportctl.server.job import JobRecord
from exportctl.server.log import EventLog


class Journal:
    """Write one job's events, one after another."""

    def __init__(self, log: EventLog, record: JobRecord) -> None:
        self._log = log
        self._one = asyncio.Lock()
        self.record = record

    async def tell(self, name: str, data: Mapping[str, Any], **changes: Any) -> JobRecord:
        """Log an event together with these changes of the record; raises JobEndedError."""
        async with self._one:
            await self._keep(self._log.append(replace(self.record, **changes), name, data))
        return self.record

    async def note(self, **changes: Any) -> None:
        """Store changes of the record that no event tells of; raises JobEndedError."""
        async with self._one:
            await self._keep(self._amended(replace(self.record, **changes)))

    async def _amended(self, record: JobRecord) -> JobRecord:
        await self._log.amend(record)
        return record

    async def _keep(self, storing: Coroutine[None, None, JobRecord]) -> None:
        stored = asyncio.ensure_future(storing)
        try:
            self.record = await asyncio.shield(stored)
        except asyncio.CancelledError:
            # It is stored all the same, and the record must know: what is told next goes on from it.
            self.record = await stored
            raise
