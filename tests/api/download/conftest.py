"""What the tests of the download share."""

import asyncio

import pytest

from download_peer import Bench, open_peer
from exportctl.client.http import Server, open_client
from waiting import PATIENCE


@pytest.fixture
async def peer():
    """Give a server without answers yet."""
    async with open_peer() as peer:
        yield peer
        # The client has closed its connections by now; that they are is heard a little later.
        if peer.serving:
            await asyncio.wait(peer.serving, timeout=PATIENCE)


@pytest.fixture
async def bench(peer):
    """Give a client of that server."""
    async with open_client(Server(url=peer.url, correlation_id="c", token="secret")) as http:
        yield Bench(peer, http)


@pytest.fixture
def target(tmp_path):
    """Name a file that is not there."""
    return tmp_path / "n.zip"
