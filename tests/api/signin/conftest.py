"""The server of people, and a kept session of one of them."""

import pytest

from people_server import serving
from signed_in import log_in


@pytest.fixture
def people():
    with serving() as found:
        yield found


@pytest.fixture
async def path(people, tmp_path):
    """A jar in which Ana is signed in."""
    place = tmp_path / "sessions" / "default.json"
    await log_in(people, place)
    return place
