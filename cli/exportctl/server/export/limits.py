"""How much one export may be of: images, bytes, pixels. A picture may claim any size in a few bytes of its header.

Loads no image library: the server itself makes the limits.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BYTES_A_PIXEL = 16
"""What a 16-bit colour picture takes while it is drawn, measured, and some more."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one export may be of: `images`, `total_bytes` of their files, `pixels` of one that is drawn.

    A larger picture is exported without an overlay.
    """

    images: int = 1_000_000
    total_bytes: int | None = None
    pixels: int = 2**31 - 1


USUAL: Final = Limits()


def pixels_for(workers: int) -> int:
    """Return how many pixels a picture may have if each worker draws one at a time in the memory there is."""
    return min(USUAL.pixels, max(_memory() // max(workers, 1) // _BYTES_A_PIXEL, 1))


def _memory() -> int:
    """Return the bytes of memory that this machine, or container, has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CGROUP.read_text("ascii")))
    except (OSError, ValueError):
        return physical
