"""The page's copy of the official client."""

from pathlib import Path

import exportctl
from wire.conftest import HERE

PAGE = Path(exportctl.__file__).parent / "server" / "page"


def test_the_page_carries_the_official_client_byte_for_byte(node):
    assert node
    published = HERE / "node_modules" / "socket.io-client"
    vendored = PAGE / "vendor"
    name = "socket.io.esm.min.js"
    assert (vendored / name).read_bytes() == (published / "dist" / name).read_bytes()
    assert (vendored / "socket.io-client.LICENSE.txt").read_bytes() == (published / "LICENSE").read_bytes()
