"""How much one export may be of: images, bytes, pixels; and what of this machine there is to do it with.

A picture may claim any size in a few bytes of its header. A container may have less than the machine it runs on.

Loads no image library: the server itself makes the limits.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BYTES_A_PIXEL = 16
"""What a 16-bit colour picture takes while it is drawn, measured, and some more."""
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
"""Of version 2, where a container, or a unit of systemd, finds what it may have."""


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
    return min(USUAL.pixels, max(memory() // max(workers, 1) // _BYTES_A_PIXEL, 1))


def cores() -> int:
    """Return how many processes can work at a time: not on cores that are others', nor beyond a container's share."""
    # Python 3.13 has `process_cpu_count`, which knows of no share.
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _share("cpu.max").split()
        return max(min(found, math.ceil(int(quota) / int(period))), 1)
    except (OSError, ValueError, ZeroDivisionError):
        return found  # "max" is no number


def memory() -> int:
    """Return the bytes of memory that this machine, or container, has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_share("memory.max")))
    except (OSError, ValueError):
        return physical


def _share(name: str) -> str:
    """Return what a file of this process' control group says; raises OSError, ValueError."""
    (own,) = (line[3:] for line in _OWN_CGROUP.read_text("utf-8").splitlines() if line.startswith("0::"))
    return (_CGROUPS / own.lstrip("/") / name).read_text("ascii")
