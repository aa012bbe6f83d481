"""The follower of a command. Apart from `exporting`, since a download imports no socket (tests/bench/startup.py)."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

from exportctl.client.api import Api
from exportctl.client.follow import Follower
from exportctl.commands.body.session import Session
from exportctl.commands.options import Connection


@contextlib.asynccontextmanager
async def open_follower(session: Session, api: Api, connection: Connection) -> AsyncIterator[Follower]:
    """Open the follower that tells this session's lines; the server's protocol is known before it connects."""
    await api.meet()
    follower = Follower(
        api=api,
        tell=session.tell,
        sleep=asyncio.sleep,
        jitter=random.random,
        monotonic=time.monotonic,
        transport=connection.transport,
        poll_interval=connection.poll_interval,
        together=session.stream.together,
        usual=lambda project_id: session.memory.usual(api.server.url, project_id),
        learn=lambda project_id, seen: session.memory.note_usual(api.server.url, project_id, seen),
    )
    async with follower:
        yield follower
