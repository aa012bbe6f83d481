"""What servers say in words, made fit to be shown: one line, without their folders, and a cancellation told as one."""

import re
from typing import Final

_PATH: Final = re.compile(r"(?<![\w.:/…])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\"`:,;()<>]+)+[/\\]([^\s/\\'\"`:,;()<>]+)")
_CANCELLATION: Final = re.compile(r"export (?:was )?cancell?ed\b.*", re.IGNORECASE)


def first_line(text: str) -> str:
    """Return the first line that is not empty, without space around it."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def without_paths(text: str) -> str:
    """Return `text` with each absolute path cut to its last part: how the server's disk is laid out is not our news."""
    return _PATH.sub(lambda found: f"…/{found[1]}", text)


def shown(text: str) -> str:
    """Return the first line of `text` without paths: an exception's text holds both (`WIRE.md`, 7)."""
    return without_paths(first_line(text))


def is_cancellation(text: str | None) -> bool:
    """Return whether a failure's text says that the job was cancelled (`WIRE.md`, 4)."""
    return text is not None and _CANCELLATION.fullmatch(text.strip().rstrip(".")) is not None
