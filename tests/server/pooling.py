"""What tests of the pool share: whose tasks they are, crews that run nothing until they are told to, and waiting."""

import asyncio
import os
from concurrent.futures import Future

from exportctl.server.pool import Share


def share(job, gate, user="ana"):
    return Share(user=user, job=job, gate=gate)


async def holds(condition):
    """Wait for something that no event tells of."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - other processes set no asyncio.Event
            await asyncio.sleep(0.01)


async def appears(path):
    await holds(path.exists)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def vanishes(pid):
    await holds(lambda: not is_alive(pid))


class HeldCrew:
    """An executor that runs nothing until it is told to."""

    def __init__(self, workers):
        self.workers = workers
        self.executor = self
        self.submitted = []
        self.lost = self.killed = False

    def start(self):
        pass

    def submit(self, work):
        self.submitted.append((work, Future()))
        return self.submitted[-1][1]

    def kill(self):
        self.killed = True

    def is_lost(self):
        return self.lost

    def is_gone(self, _seconds):
        return self.killed

    async def run(self, number):
        work, future = self.submitted[number]
        future.set_result(work())
        await settled()


async def settled():
    """Let the loop do all it can do at once."""
    for _ in range(5):
        await asyncio.sleep(0)
