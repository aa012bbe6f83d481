"""Files that are there whole or not at all, whenever the process ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def aside(path: str) -> Iterator[Path]:
    """Give the path to write to; what was written there gets its name `path` at the end, unless the block failed."""
    new = Path(path + ".new")
    yield new
    new.replace(path)
