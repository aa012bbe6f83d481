"""What is measured of each polygon.

Area by the shoelace formula, holes taken off; perimeter of the outer contour; Feret diameters over the convex hull,
exact; ratios as the documentation of the export says. A ratio without a meaning (a division by nothing) is None,
never NaN. Lengths are in pixels, or in micrometres with a scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import shapely

from exportctl.server.export.shapes import LEAST_POINTS, Part, Ring, part_area, signed_area


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The metrics of one part; lengths and the area in the unit of the scale."""

    area: float
    perimeter: float
    equivalent_diameter: float
    circularity: float | None
    feret_max: float
    feret_min: float
    feret_orthogonal: float
    feret_aspect_ratio: float | None
    extent: float | None
    convexity: float | None
    solidity: float | None
    width: float
    height: float


MEASURES = tuple(field.name for field in fields(Measures))


def measure(parts: Sequence[Part], scale: float | None) -> list[Measures]:
    """Measure parts; `scale` is in µm per pixel, None measures in pixels."""
    if not parts:
        return []
    length = 1.0 if scale is None else scale
    counts = [len(part.outer) for part in parts]
    outers = shapely.linearrings(
        np.concatenate([part.outer for part in parts]), indices=np.repeat(np.arange(len(parts)), counts)
    )
    perimeters = shapely.length(outers).tolist()
    hulls = shapely.convex_hull(shapely.polygons(outers))
    hull_areas = shapely.area(hulls).tolist()
    hull_perimeters = shapely.length(hulls).tolist()
    points, owners = shapely.get_coordinates(hulls, return_index=True)
    rings = np.split(points, np.flatnonzero(np.diff(owners)) + 1)
    return [
        _measures(part, perimeter, ring[:-1], hull_area, hull_perimeter, length)
        for part, perimeter, ring, hull_area, hull_perimeter in zip(
            parts, perimeters, rings, hull_areas, hull_perimeters, strict=True
        )
    ]


def _measures(  # noqa: PLR0917 - one row of what was measured of all at once
    part: Part, perimeter: float, hull: Ring, hull_area: float, hull_perimeter: float, length: float
) -> Measures:
    area = part_area(part)
    outer = part.outer
    width, height = (outer.max(axis=0) - outer.min(axis=0)).tolist()
    largest, smallest, orthogonal = feret(hull)
    circularity = _ratio(4 * np.pi * area, perimeter**2)
    return Measures(
        area=area * length**2,
        perimeter=perimeter * length,
        equivalent_diameter=float(np.sqrt(max(area, 0.0) * 4 / np.pi)) * length,
        circularity=None if circularity is None else min(circularity, 1.0),
        feret_max=largest * length,
        feret_min=smallest * length,
        feret_orthogonal=orthogonal * length,
        feret_aspect_ratio=_ratio(largest, smallest),
        extent=_ratio(area, width * height),
        convexity=_ratio(hull_perimeter, perimeter),
        solidity=_ratio(area, hull_area),
        width=width * length,
        height=height * length,
    )


def feret(hull: Ring) -> tuple[float, float, float]:
    """Return the largest and smallest Feret diameter of a convex ring, and the one orthogonal to the largest.

    Rotating calipers: the vertex farthest from an edge is where the edges, in the order of their direction, pass
    the opposite direction. Both diameters are found among these pairs; neighbours are tried too, against rounding
    of the angles.
    """
    if len(hull) < LEAST_POINTS:
        size = float(np.hypot(*(hull.max(axis=0) - hull.min(axis=0))))
        return size, 0.0, 0.0
    if signed_area(hull) < 0:
        hull = hull[::-1]
    count = len(hull)
    following = np.concatenate([hull[1:], hull[:1]])
    edges = following - hull
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    angles[1:] -= 2 * np.pi * np.cumsum(np.rint(np.diff(angles) / (2 * np.pi)))
    turn = np.concatenate([angles, angles + 2 * np.pi])
    opposite = np.searchsorted(turn, angles + np.pi)
    candidates = (opposite[:, None] + np.arange(-1, 2)) % count
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    reach = hull[candidates] - hull[:, None]
    heights = np.abs(edges[:, None, 0] * reach[..., 1] - edges[:, None, 1] * reach[..., 0]).max(axis=1) / lengths
    far = hull[candidates]
    spans = np.stack([far - hull[:, None], far - following[:, None]])
    distances = np.hypot(spans[..., 0], spans[..., 1])
    best = np.unravel_index(int(distances.argmax()), distances.shape)
    largest = float(distances[best])
    direction = spans[best] / largest
    across = hull @ np.array([-direction[1], direction[0]])
    return largest, float(heights.min()), float(across.max() - across.min())


def _ratio(above: float, below: float) -> float | None:
    ratio = above / below if below > 0 else np.inf
    return float(ratio) if np.isfinite(ratio) else None
