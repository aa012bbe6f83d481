"""The plan file: what is known of each image, one JSON line each, and how tasks read it.

Beside it lie `.index` (the offsets of the lines, 8 bytes each, so that a task finds its image without reading the
others) and `.categories` (the names, a JSON list). All three are written aside and renamed into place, the plan
file last.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson

from exportctl.server.export.headers import Header
from exportctl.server.export.remarks import printable
from exportctl.server.export.shapes import Annotation, Part

_OFFSET = struct.Struct("<Q")
_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImage:
    """One image of the export.

    `path` is relative to the project's folder, as the file system spells it; `title` is the same for people and tables.
    `original` and `stem` are names for the archive. `header.problem` tells a file known to be damaged. `first` is
    the id of its first annotation; ids count through the whole export from 1.
    """

    index: int
    path: str
    title: str
    original: str
    stem: str
    header: Header
    first: int
    annotations: tuple[Annotation, ...]

    @property
    def pixels(self) -> int:
        """How many; 0 where the size is not known."""
        return (self.header.width or 0) * (self.header.height or 0)

    @property
    def points(self) -> int:
        """How many all outlines and holes have together."""
        return sum(len(part.outer) + sum(map(len, part.holes)) for one in self.annotations for part in one.parts)


class PlanWriter:
    """Writes a plan file image by image; leaving the `with` block puts it into place, an exception leaves nothing."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._names = (file + ".new", file + ".index.new")
        self._lines = Path(self._names[0]).open("wb")  # noqa: SIM115 - closed by __exit__
        self._index = Path(self._names[1]).open("wb")  # noqa: SIM115 - closed by __exit__
        self._offset = 0
        self.count = 0
        self.annotations = 0
        self.points = 0
        self.pixels = 0
        self.categories: dict[str, int] = {}

    def category(self, name: str) -> int:
        """Return the number of a category, a new one for a new name."""
        return self.categories.setdefault(printable(name), len(self.categories))

    def add(self, image: PlannedImage) -> None:
        """Write one image; they must come in the order of their index."""
        header = image.header
        line = orjson.dumps(
            {
                # A name that is not UTF-8 travels as its bytes.
                "path": os.fsencode(image.path).hex(),
                "title": image.title,
                "original": image.original,
                "stem": image.stem,
                "header": [header.format, header.width, header.height, header.deep, header.pages, header.problem],
                "first": image.first,
                "annotations": [
                    [a.category, [[part.outer.ravel(), *(hole.ravel() for hole in part.holes)] for part in a.parts]]
                    for a in image.annotations
                ],
            },
            option=_NUMPY,
        )
        self._lines.write(line)
        self._index.write(_OFFSET.pack(self._offset))
        self._offset += len(line)
        self.count += 1
        self.annotations += len(image.annotations)
        self.points += image.points
        self.pixels += image.pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._index.close()
        if kind is not None:
            for name in self._names:
                with suppress(OSError):
                    Path(name).unlink()
            return
        names = Path(self._file + ".categories.new")
        names.write_bytes(orjson.dumps(list(self.categories)))
        names.replace(self._file + ".categories")
        Path(self._names[1]).replace(self._file + ".index")
        Path(self._names[0]).replace(self._file)


def read_image(file: str, index: int) -> PlannedImage:
    """Read one image of the plan."""
    return next(read_images(file, index, index + 1))


def read_images(file: str, start: int, stop: int) -> Iterator[PlannedImage]:
    """Read the images start..stop-1, one at a time."""
    with Path(file + ".index").open("rb") as offsets:
        offsets.seek(start * _OFFSET.size)
        offset = _OFFSET.unpack(offsets.read(_OFFSET.size))[0] if stop > start else 0
    with Path(file).open("rb") as lines:
        lines.seek(offset)
        for index in range(start, stop):
            yield _decoded(index, orjson.loads(lines.readline()))


def read_categories(file: str) -> tuple[str, ...]:
    """Read the names of the categories; an annotation's `category` counts in them."""
    return tuple(orjson.loads(Path(file + ".categories").read_bytes()))


def _decoded(index: int, line: dict[str, Any]) -> PlannedImage:
    name, width, height, deep, pages, problem = line["header"]
    return PlannedImage(
        index=index,
        path=os.fsdecode(bytes.fromhex(line["path"])),
        title=line["title"],
        original=line["original"],
        stem=line["stem"],
        header=Header(format=name, width=width, height=height, deep=deep, pages=pages, problem=problem),
        first=line["first"],
        annotations=tuple(
            Annotation(category=category, parts=tuple(_part(rings) for rings in parts))
            for category, parts in line["annotations"]
        ),
    )


def _part(rings: list[list[float]]) -> Part:
    outer, *holes = (np.array(ring, dtype=np.float64).reshape(-1, 2) for ring in rings)
    return Part(outer=outer, holes=tuple(holes))
