"""Polygons as the export knows them, before and after they are repaired.

A ring is an array of shape (n, 2), float64, x then y in pixels of the image, not closed: the last point is not the
first again. (0, 0) is the outer corner of the first pixel, as in COCO. In a Part the holes run the other way round
than the outer ring, so that both fill rules draw the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]

LEAST_POINTS = 3
"""A ring of fewer points has no area."""

_Point = tuple[float, float]
_Edge = tuple[_Point, _Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """One annotation as a file gave it: rings of parts and perhaps holes, and rings that are said to be holes."""

    category: str
    rings: tuple[Ring, ...]
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One connected area: an outer ring and the holes within it."""

    outer: Ring
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One object of an image, of one or more parts; `category` counts in the plan's categories from 0."""

    category: int
    parts: tuple[Part, ...]


def signed_area(ring: Ring) -> float:
    """Return the area by the shoelace formula, positive where x turns towards y."""
    # Relative to the first point: the products of large coordinates would eat the digits of a small polygon.
    x, y = (ring - ring[0]).T
    return 0.5 * float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))


def part_area(part: Part) -> float:
    """Return the area of the part in square pixels, holes taken off."""
    return abs(signed_area(part.outer)) - sum(abs(signed_area(hole)) for hole in part.holes)


def keyhole(part: Part) -> Ring:
    """Return the part as one ring: each hole is reached by a bridge that is walked both ways.

    Formats without holes rasterise that rightly, and `split_keyhole` takes it apart again into the same rings.
    """
    if not part.holes:
        return part.outer
    bridges: dict[int, list[Ring]] = {}
    for hole in part.holes:
        nearest = int(np.argmin(((part.outer - hole[0]) ** 2).sum(axis=1)))
        bridges.setdefault(nearest, []).append(hole)
    pieces: list[Ring] = []
    begin = 0
    for at in sorted(bridges):
        pieces.append(part.outer[begin : at + 1])
        for hole in bridges[at]:
            pieces += [hole, hole[:1], part.outer[at : at + 1]]
        begin = at + 1
    pieces.append(part.outer[begin:])
    return np.concatenate(pieces)


def split_keyhole(ring: Ring) -> list[Ring]:
    """Take a ring apart at the edges that it walks both ways; a ring without such edges comes back alone.

    What is left of a bridge or a spike has no area and is dropped, so the answer can be empty.
    """
    done: list[Ring] = []
    points = [(x, y) for x, y in ring.tolist()]
    # One pass with a stack: walking p -> q when q -> p is still open closes the loop that was walked since.
    stack: list[_Point] = []
    open_edges: dict[_Edge, list[int]] = {}
    for point in [*points, points[0]]:
        if stack:
            edge = (stack[-1], point)
            back = open_edges.get((point, stack[-1]))
            if back:
                # stack[i] is p, stack[i + 1] is q, and we stand on q again: the loop q ... q is complete.
                at = back[-1]
                loop = stack[at + 1 :]
                for begin, end in zip(range(len(stack) - 2, at - 1, -1), range(len(stack) - 1, at, -1), strict=True):
                    _close(open_edges, (stack[begin], stack[end]))
                del stack[at + 1 :]
                done.append(np.array(loop[:-1] if len(loop) > 1 else loop, dtype=np.float64))
                continue
            open_edges.setdefault(edge, []).append(len(stack) - 1)
        stack.append(point)
    if len(stack) > 1 and stack[0] == stack[-1]:
        stack.pop()
    done.append(np.array(stack, dtype=np.float64))
    return [clean for piece in done if len(clean := without_repeats(piece)) >= LEAST_POINTS and signed_area(clean) != 0]


def _close(
    edges: dict[_Edge, list[int]],
    edge: _Edge,
) -> None:
    edges[edge].pop()
    if not edges[edge]:
        del edges[edge]


def without_repeats(ring: Ring) -> Ring:
    """Drop points equal to the one before them, the closing one included."""
    if len(ring) < 2:  # noqa: PLR2004 - nothing to compare
        return ring
    keep = np.empty(len(ring), np.bool_)
    keep[0] = (ring[0] != ring[-1]).any()
    np.logical_or.reduce(ring[1:] != ring[:-1], axis=1, out=keep[1:])
    return ring if keep.all() else ring[keep]
