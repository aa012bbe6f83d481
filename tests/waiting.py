"""Waiting for what a test expects: for a condition, never for a time; the time is only when to give up."""

import asyncio

PATIENCE = 60.0


async def until(condition):
    """Return what `condition` answers once it is true."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := condition()):  # noqa: ASYNC110 - a condition of anything, not of an event
            await asyncio.sleep(0.002)  # the loop's turn, not a wait for something
        return answer
