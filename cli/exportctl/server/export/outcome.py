"""What a task hands back: files for the archive, what to warn of, and what it took."""

import os
from dataclasses import dataclass, field

LAST_LINE = b"null\n"
"""Of a file that a step leaves to others: when the power fails, a file may be there, and what was written to it not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What packed bytes unpack to: its CRC-32, and its size in bytes."""

    crc: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the archive: its bytes, or the file that holds them; exactly one of the two.

    `name` is the path within the archive, with forward slashes. `owned` files are ours: delete them once they are
    appended; others are `within` a project's folder, where anything may have come in their place. Texts come packed
    (`packing`), with what they unpack to; images are stored as they are.
    """

    name: str
    data: bytes | None = None
    file: str | None = None
    owned: bool = False
    within: str = ""
    unpacked: Content | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task made. `item` is the relative path of the image last worked on, or ''; `seconds` are by stage.

    `effort` is that of the step (`Step.effort`) where it is known only now.
    """

    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    item: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    effort: float | None = None


def is_left(path: str) -> bool:
    """Say whether the file that a step leaves to others is there, whole."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - paths are plain texts in tasks
            file.seek(-len(LAST_LINE), os.SEEK_END)
            return file.read() == LAST_LINE
    except OSError:
        return False
