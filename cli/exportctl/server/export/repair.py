"""From the rings of a file to polygons that can be drawn and measured.

What comes out has at least three points, an area, no crossing edges, holes that lie within their outer ring, and
lies within the image. What had to be changed or left out is counted in the remarks. A ring that is fine is handed
on bit by bit.

An edge that a ring walks there and back encloses nothing: the spike is cut off, and what such edges join is parts.
That is no remark, since no area is lost and traced masks are full of them; the README of the export says it.

A ring strictly inside another ring of its annotation is a hole of it, one inside a hole is a part again, and so on. A
keyhole (outer ring, bridge, hole, the bridge back) is taken apart. Validity is asked of shapely for all rings of an
image at once; only what it refuses is looked at one by one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import shapely

from exportctl.server.export.headers import Header
from exportctl.server.export.remarks import Remarks
from exportctl.server.export.shapes import LEAST_POINTS, Part, Ring, Sketch, signed_area, split_keyhole, without_repeats

COORDINATE_LIMIT = 1e9
"""Beyond it a coordinate is a mistake, and products of two of them lose the pixels."""

_CROSSINGS_LIMIT = 50_000
_EDGES_ASKED = 16
# GEOS takes 9 s to find that 300,000 random points cross themselves, and four times that for twice as many.
_ASKED_BEFORE = 20_000
_SURELY_FEW_EDGES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loop:
    """A simple ring on its way to being a part or a hole; rings of one `origin` came from one ring, and may touch."""

    ring: Ring
    origin: int
    hole: bool = False


def repaired(
    sketches: Sequence[Sketch], header: Header, name: str, remarks: Remarks
) -> list[tuple[str, tuple[Part, ...]]]:
    """Return category and parts of each annotation that is left; a header without a size means: not clipped."""
    sound = _sound_as_they_are(sketches, header)
    others = [sketch for sketch, fine in zip(sketches, sound, strict=True) if not fine]
    repairs = _repairs(others, header, name, remarks)
    made = [
        (Part(outer=sketch.rings[0]),) if fine else next(repairs) for sketch, fine in zip(sketches, sound, strict=True)
    ]
    return [(sketch.category, parts) for sketch, parts in zip(sketches, made, strict=True) if parts]


def _repairs(sketches: Sequence[Sketch], header: Header, name: str, remarks: Remarks) -> Iterator[tuple[Part, ...]]:
    """Yield the parts of each annotation, none where nothing is left of it."""
    checked = [_checked(sketch, name, remarks) for sketch in sketches]
    valid = iter(_validity([ring for outers, holes in checked for ring in (*outers, *holes)]))
    for outers, holes in checked:
        loops: list[_Loop] = []
        crossed = False
        for origin, ring in enumerate((*outers, *holes)):
            hole = origin >= len(outers)
            if next(valid):
                loops.append(_Loop(ring=ring, origin=origin, hole=hole))
                continue
            pieces, was_crossed = _untangled(ring, name, remarks)
            crossed = crossed or was_crossed
            loops += [_Loop(ring=piece, origin=origin, hole=hole) for piece in pieces]
        if crossed:
            remarks.count("crossing", name)
        yield tuple(_clipped(_assembled(loops, name, remarks), header, name, remarks))


def _sound_as_they_are(sketches: Sequence[Sketch], header: Header) -> list[bool]:
    """Say of each annotation whether it is one ring that needs no repair; nearly all are, so all are asked at once."""
    asked = [
        at
        for at, sketch in enumerate(sketches)
        if len(sketch.rings) == 1 and not sketch.holes and LEAST_POINTS <= len(sketch.rings[0]) <= _ASKED_BEFORE
    ]
    if not asked:
        return [False] * len(sketches)
    rings = [sketches[at].rings[0] for at in asked]
    points = np.concatenate(rings)
    begins = np.cumsum([0, *(len(ring) for ring in rings[:-1])])
    least, most = np.minimum.reduceat(points, begins), np.maximum.reduceat(points, begins)
    is_sized = header.width and header.height
    low, high = (0, np.array([header.width, header.height])) if is_sized else (-COORDINATE_LIMIT, COORDINATE_LIMIT)
    # What is no number is within nothing.
    good = ((least >= low) & (most <= high)).all(axis=1)
    # Of each point, whether it is the one before it; of a ring's first, the last.
    before = np.concatenate([points[-1:], points[:-1]])
    before[begins] = points[[*(begins[1:] - 1), -1]]
    good &= ~np.logical_or.reduceat((points == before).all(axis=1), begins)
    kept = np.flatnonzero(good)
    good[kept] = _validity([rings[at] for at in kept])
    sound = set(compress(asked, good))
    return [at in sound for at in range(len(sketches))]


def _checked(sketch: Sketch, name: str, remarks: Remarks) -> tuple[list[Ring], list[Ring]]:
    """Drop rings that cannot be polygons; a hole that cannot is dropped without a word."""
    outers = []
    for ring in sketch.rings:
        if not _is_sound(ring):
            remarks.count("bad-numbers", name)
            continue
        clean = without_repeats(ring)
        if len(clean) < 3 or len(set(map(tuple, clean[:64].tolist()))) + max(0, len(clean) - 64) < 3:  # noqa: PLR2004
            remarks.count("few-points", name)
            continue
        if len(clean) > _ASKED_BEFORE and _is_hopeless(clean):
            remarks.count("tangled", name)
            continue
        outers.append(clean)
    holes = [clean for ring in sketch.holes if _is_sound(ring) and len(clean := without_repeats(ring)) >= LEAST_POINTS]
    return outers, holes


def _is_sound(ring: Ring) -> bool:
    """Say whether all coordinates are numbers that can be reckoned with; NaN is below no limit."""
    return bool((np.abs(ring) <= COORDINATE_LIMIT).all())


def _validity(rings: Sequence[Ring]) -> list[bool]:
    if not rings:
        return []
    counts = [len(ring) + 1 for ring in rings]
    points = np.concatenate([part for ring in rings for part in (ring, ring[:1])])
    linear = shapely.linearrings(points, indices=np.repeat(np.arange(len(rings)), counts))
    polygons = shapely.polygons(linear)
    answer: list[bool] = (shapely.is_valid(polygons) & (shapely.area(polygons) > 0)).tolist()
    return answer


def _untangled(ring: Ring, name: str, remarks: Remarks) -> tuple[list[Ring], bool]:
    """Return the simple rings of a ring that is not simple, and whether it crossed itself."""
    if _is_hopeless(ring):
        remarks.count("tangled", name)
        return [], False
    pieces = split_keyhole(ring)
    result: list[Ring] = []
    crossed = False
    for piece, valid in zip(pieces, _validity(pieces), strict=True):
        if valid:
            result.append(piece)
        else:
            crossed = True
            result += _rings_of(_made_valid(piece))
    if not result:
        # A bow tie of two equal halves has no signed area, and was dropped as such when it was taken apart.
        halves = _rings_of(_made_valid(ring))
        if not halves:
            remarks.count("no-area", name)
        return halves, bool(halves)
    return result, crossed


def _made_valid(ring: Ring) -> shapely.Geometry:
    # The other method, "linework", needs 22 s for 400 random points; this one 0.2 s.
    return shapely.make_valid(shapely.Polygon(ring), method="structure")


def _is_hopeless(ring: Ring) -> bool:
    """Estimate from some of its edges whether a ring has more crossings than can be worked out in seconds."""
    if len(ring) <= _SURELY_FEW_EDGES:
        return False
    ends = np.roll(ring, -1, axis=0)
    asked = range(0, len(ring), max(1, len(ring) // _EDGES_ASKED))
    hits = 0
    for at in asked:
        begin, end = ring[at], ends[at]
        # Two edges cross when each has its ends on both sides of the other.
        apart = _side(begin, end, ring) * _side(begin, end, ends) < 0
        hits += int((apart & (_side(ring, ends, begin) * _side(ring, ends, end) < 0)).sum())
    return hits / len(asked) * len(ring) / 2 > _CROSSINGS_LIMIT


def _side(begin: Ring, end: Ring, point: Ring) -> Ring:
    """Return the sign of the side of the line begin-end on which the point lies, any of the three being many."""
    along, reach = end - begin, point - begin
    return np.sign(along[..., 0] * reach[..., 1] - along[..., 1] * reach[..., 0])


def _rings_of(geometry: shapely.Geometry) -> list[Ring]:
    """Return outer and inner rings of the polygons in a geometry; lines and points of a repair are dropped."""
    rings = []
    for polygon in shapely.get_parts(shapely.get_parts(geometry)):
        if isinstance(polygon, shapely.Polygon) and polygon.area > 0:
            rings += [_open(polygon.exterior), *(_open(inner) for inner in polygon.interiors)]
    return [ring for ring in rings if len(ring) >= LEAST_POINTS and signed_area(ring) != 0]


def _open(ring: shapely.Geometry) -> Ring:
    return without_repeats(np.asarray(shapely.get_coordinates(ring), dtype=np.float64))


def _assembled(loops: list[_Loop], name: str, remarks: Remarks) -> list[Part]:
    """Sort simple rings into parts and their holes, by who lies in whom."""
    if len(loops) == 1 and not loops[0].hole:
        return [Part(outer=loops[0].ring)]
    loops = sorted(loops, key=lambda loop: -abs(signed_area(loop.ring)))
    polygons = [shapely.Polygon(loop.ring) for loop in loops]
    depth: list[int] = []
    parts: dict[int, list[int]] = {}
    parent: list[int] = []
    boxes = shapely.bounds(polygons)
    for number, loop in enumerate(loops):
        # The smallest ring around it is looked for from the smallest on, and only where the boxes allow it: of 10,000
        # rings side by side, or one in the other, each is compared with a few.
        low, high = boxes[number, :2], boxes[number, 2:]
        around = (boxes[:number, :2] <= low).all(axis=1) & (boxes[:number, 2:] >= high).all(axis=1)
        outer = next(
            (
                outer
                for outer in np.flatnonzero(around)[::-1].tolist()
                if (shapely.covers if loop.hole or loops[outer].origin == loop.origin else shapely.contains_properly)(
                    polygons[outer], polygons[number]
                )
            ),
            -1,
        )
        parent.append(outer)
        depth.append(0 if outer < 0 else depth[outer] + 1)
        if depth[number] % 2 == 0:
            if loop.hole:
                remarks.count("stray-hole", name)
                depth[number] = -1
                continue
            parts[number] = []
        else:
            parts[parent[number]].append(number)
    return [
        part
        for number, holes in parts.items()
        for part in _part(loops[number].ring, [loops[hole].ring for hole in holes])
    ]


def _part(outer: Ring, holes: list[Ring]) -> Iterable[Part]:
    """Make a part whose holes run against its outer ring; holes that cross or touch each other are merged first."""
    if len(holes) > 1 and not shapely.is_valid(shapely.Polygon(outer, holes)):
        pieces = _rings_of(shapely.union_all([shapely.Polygon(hole) for hole in holes]))
        holes = [piece for piece in pieces if len(piece) >= LEAST_POINTS]
    turn = signed_area(outer) > 0
    yield Part(outer=outer, holes=tuple(hole if (signed_area(hole) > 0) != turn else hole[::-1] for hole in holes))


def _clipped(parts: list[Part], header: Header, name: str, remarks: Remarks) -> list[Part]:
    """Cut the parts off at the image's edge."""
    if not header.width or not header.height:
        return parts
    size = np.array([header.width, header.height], dtype=np.float64)
    result: list[Part] = []
    overshoot = 0.0
    for part in parts:
        low, high = part.outer.min(axis=0), part.outer.max(axis=0)
        beyond = max(float((-low).max()), float((high - size).max()))
        if beyond <= 0:
            result.append(part)
            continue
        overshoot = max(overshoot, beyond)
        cut = shapely.intersection(
            shapely.Polygon(part.outer, part.holes), shapely.box(0, 0, header.width, header.height)
        )
        for polygon in shapely.get_parts(cut):
            if isinstance(polygon, shapely.Polygon) and polygon.area > 0:
                result += _part(_open(polygon.exterior), [_open(inner) for inner in polygon.interiors])
    if parts and not result:
        remarks.count("outside", name)
    elif overshoot > 1:
        remarks.count("clipped", name)
    return result
