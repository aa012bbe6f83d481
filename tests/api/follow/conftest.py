"""What the tests of following share."""

import pytest

from follow_peer import Bench, open_peer


@pytest.fixture
async def peer():
    """Give a server that knows the job by name only."""
    async with open_peer() as peer:
        yield peer


@pytest.fixture
def bench():
    """Give the place where a follower tells its lines."""
    return Bench()
