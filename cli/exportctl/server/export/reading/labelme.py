"""LabelMe JSON: one file an image, `shapes` of polygons, rectangles and circles.

A shape labelled `hole`, or one of the same `group_id` strictly inside another, is a hole; other shapes of one group and
label are parts of one annotation.
"""

from typing import Any

import numpy as np

from exportctl.server.export.reading.points import paired_ring
from exportctl.server.export.remarks import Remarks
from exportctl.server.export.shapes import Ring, Sketch

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
    sketches = []
    for key, rings in grouped.items():
        label = key[0] if isinstance(key, tuple) else "object"
        inside = [hole for hole in loose_holes if any(_within(hole, ring) for ring in rings)]
        loose_holes = [hole for hole in loose_holes if not any(hole is taken for taken in inside)]
        sketches.append(Sketch(category=label, rings=tuple(rings), holes=tuple(inside)))
    if loose_holes:
        remarks.count("stray-hole", name, len(loose_holes))
    return sketches


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


def _within(hole: Ring, ring: Ring) -> bool:
    """Tell by boxes whether a hole can lie in a ring; `repair` looks closely."""
    return bool((hole.min(axis=0) >= ring.min(axis=0)).all() and (hole.max(axis=0) <= ring.max(axis=0)).all())
