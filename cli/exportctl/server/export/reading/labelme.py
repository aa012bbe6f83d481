"""LabelMe JSON: one file an image, `shapes` of polygons, rectangles and circles.

A shape labelled `hole`, or one of the same `group_id` strictly inside another, is a hole; other shapes of one group and
label are parts of one annotation.
"""

from typing import Any

import numpy as np
import shapely

from exportctl.server.export.reading.points import paired_ring
from exportctl.server.export.remarks import Remarks
from exportctl.server.export.shapes import LEAST_POINTS, Ring, Sketch, signed_area

_CIRCLE_POINTS = 72
_CORNERS = 2
_NAME_LENGTH = 200


def is_labelme(document: object) -> bool:
    """Tell whether this JSON means to be LabelMe."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list)


def image_name(document: dict[str, Any]) -> str:
    """Return the file name the document says it is about, without its folder; '' when it does not say."""
    path = document.get("imagePath")
    return path.replace("\\", "/").rsplit("/", maxsplit=1)[-1] if isinstance(path, str) else ""


def read_labelme(document: dict[str, Any], name: str, remarks: Remarks) -> list[Sketch]:
    """Read a document for which `is_labelme` holds; `name` is the file's, for remarks."""
    grouped: dict[object, list[Ring]] = {}
    loose_holes: list[Ring] = []
    for number, shape in enumerate(document["shapes"]):
        if not isinstance(shape, dict):
            remarks.count("malformed", name)
            continue
        ring = _ring(shape, name, remarks)
        if ring is None:
            continue
        label = shape.get("label")
        label = label[:_NAME_LENGTH] if isinstance(label, str) and label else "object"
        group = shape.get("group_id")
        if label == "hole":
            loose_holes.append(ring)
        elif type(group) in {int, str}:
            grouped.setdefault((label, group), []).append(ring)
        else:
            grouped.setdefault((label, None, number), []).append(ring)
    holes, strays = _shared_out(loose_holes, list(grouped.values()))
    if strays:
        remarks.count("stray-hole", name, strays)
    return [
        Sketch(category=key[0] if isinstance(key, tuple) else "object", rings=tuple(rings), holes=tuple(inside))
        for (key, rings), inside in zip(grouped.items(), holes, strict=True)
    ]


def _ring(shape: dict[str, Any], name: str, remarks: Remarks) -> Ring | None:
    kind = shape.get("shape_type") or "polygon"
    if not isinstance(kind, str) or kind not in {"polygon", "rectangle", "circle"}:
        remarks.count("other-shape", name)
        return None
    points = paired_ring(shape.get("points"))
    if points is None or (kind != "polygon" and len(points) < _CORNERS):
        remarks.count("malformed", name)
        return None
    if kind == "rectangle" and len(points) == _CORNERS:
        (left, top), (right, bottom) = points
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle":
        center, edge = points[0], points[1]
        angle = np.linspace(0, 2 * np.pi, _CIRCLE_POINTS, endpoint=False)
        ring: Ring = center + np.hypot(*(edge - center)) * np.column_stack([np.cos(angle), np.sin(angle)])
        return ring
    return points


def _shared_out(holes: list[Ring], groups: list[list[Ring]]) -> tuple[list[list[Ring]], int]:
    """Give each hole to the group around it, and count those around which there is none; `repair` looks closely."""
    found: list[list[Ring]] = [[] for _ in groups]
    owners = [(number, ring) for number, rings in enumerate(groups) for ring in rings]
    if not holes or not owners:
        return found, len(holes)
    low = np.array([ring.min(axis=0) for _, ring in owners])
    high = np.array([ring.max(axis=0) for _, ring in owners])
    strays = 0
    for hole in holes:
        around = np.flatnonzero((low <= hole.min(axis=0)).all(axis=1) & (high >= hole.max(axis=0)).all(axis=1)).tolist()
        if not around:
            strays += 1
            continue
        # Boxes of neighbours overlap: the hole is of who has most of its points, the innermost of several.
        best = max(around, key=lambda at: _claim(owners[at][1], hole)) if len(around) > 1 else around[0]
        found[owners[best][0]].append(hole)
    return found, strays


def _claim(ring: Ring, hole: Ring) -> tuple[float, float]:
    if len(ring) < LEAST_POINTS or not np.isfinite(ring).all():
        return -1.0, 0.0
    return float(shapely.intersects_xy(shapely.Polygon(ring), *hole.T).mean()), -abs(signed_area(ring))
