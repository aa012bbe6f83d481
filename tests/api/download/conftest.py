"""What the tests of the download share."""

import pytest

from download_peer import Bench, open_peer
from exportctl.client.http import Server, open_client


@pytest.fixture
async def peer():
    """Give a server without answers yet."""
    async with open_peer() as peer:
        yield peer


@pytest.fixture
async def bench(peer):
    """Give a client of that server."""
    async with open_client(Server(url=peer.url, correlation_id="c", token="secret")) as http:
        yield Bench(peer, http)


@pytest.fixture
def target(tmp_path):
    """Name a file that is not there."""
    return tmp_path / "n.zip"
