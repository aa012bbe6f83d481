"""Warnings of an export: collected, counted, and put into words that name the file.

What concerns polygons is said once for each image and kind, with a count ("cell 3.png: 4 polygons reach ...").
Beyond `LIMIT` lines the rest is counted only. Names are paths relative to the project's folder, never absolute ones.
"""

import unicodedata
from collections.abc import Iterable

LIMIT = 200
_NAMES_SHOWN = 3
_LINE_LENGTH = 1000

_SINGULAR_PLURAL = {
    "few-points": (
        "1 polygon has fewer than three points and was left out",
        "{n} polygons have fewer than three points and were left out",
    ),
    "no-area": ("1 polygon has no area and was left out", "{n} polygons have no area and were left out"),
    "bad-numbers": (
        "1 polygon has coordinates that are no usable numbers and was left out",
        "{n} polygons have coordinates that are no usable numbers and were left out",
    ),
    "malformed": (
        "1 annotation is not a list of coordinate pairs and was left out",
        "{n} annotations are not lists of coordinate pairs and were left out",
    ),
    "crossing": ("1 polygon crosses itself and was repaired", "{n} polygons cross themselves and were repaired"),
    "tangled": (
        "1 polygon crosses itself too often to be repaired and was left out",
        "{n} polygons cross themselves too often to be repaired and were left out",
    ),
    "clipped": (
        "1 polygon reaches outside the image and was clipped to it",
        "{n} polygons reach outside the image and were clipped to it",
    ),
    "outside": (
        "1 polygon lies outside the image and was left out",
        "{n} polygons lie outside the image and were left out",
    ),
    "stray-hole": (
        "1 hole lies in no polygon and was left out",
        "{n} holes lie in no polygon and were left out",
    ),
    "box": (
        "1 label is a box, not a polygon, and was left out",
        "{n} labels are boxes, not polygons, and were left out",
    ),
    "other-shape": (
        "1 shape is neither a polygon, a rectangle nor a circle and was left out",
        "{n} shapes are neither polygons, rectangles nor circles and were left out",
    ),
}


class Remarks:
    """The warnings so far; `count` for polygons of an image, `say` for anything else, `lines` at the end."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._counts: dict[tuple[str, str], int] = {}
        self._said: dict[str, None] = {}
        self._more = 0

    def count(self, kind: str, name: str, number: int = 1) -> None:
        """Count polygons of one kind of fault in one file."""
        key = (name, kind)
        if key in self._counts:
            self._counts[key] += number
        else:
            self._counts[key] = number

    def settle(self) -> None:
        """Turn the counts of the files finished so far into lines, to keep memory flat."""
        for (name, kind), number in self._counts.items():
            singular, plural = _SINGULAR_PLURAL[kind]
            self.say(f"{name}: {singular if number == 1 else plural.format(n=number)}")
        self._counts.clear()

    def say(self, line: str) -> None:
        """Add a line; the same line twice is said once. Names in it may hold anything, so it is made printable here."""
        line = printable(line[:_LINE_LENGTH])
        if line in self._said:
            return
        if len(self._said) < self._limit:
            self._said[line] = None
        else:
            self._more += 1

    def lines(self) -> tuple[str, ...]:
        """Return all lines, at most the limit, and one that counts the rest."""
        self.settle()
        rest = (f"and {self._more} more warnings",) if self._more > 1 else ()
        if self._more == 1:
            rest = ("and 1 more warning",)
        return (*self._said, *rest)


def some_names(names: Iterable[str], total: int) -> str:
    """Put the first few names and the number of the others into words."""
    first = [name for name, _ in zip(names, range(_NAMES_SHOWN), strict=False)]
    more = total - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def printable(name: str) -> str:
    """Make a file's name fit for a line of text: control characters and bytes that are no UTF-8 become a mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cs"} else c for c in name)
