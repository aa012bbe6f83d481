"""The disk that the state folder lies on."""

import os
from pathlib import Path


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the kind of file system that `folder` lies on; None where the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    wanted = os.path.realpath(folder)
    best, kind = "", None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 - device, place, kind
            continue
        place = fields[1].replace("\\040", " ")
        is_within = wanted == place or wanted.startswith(place.rstrip("/") + "/")
        if is_within and len(place) >= len(best):
            best, kind = place, fields[2]
    return kind
