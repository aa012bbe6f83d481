"""What the steps of an export are expected to cost, before any of them ran: from pixels, points and polygons.

The unit is a second of one quiet core of 2024, but only proportions matter: the forecast measures what steps really
take. Measured over projects of many small, of few large and of densely annotated images (`tests/bench/eta.py` tells
which), as processor time. Importing this module loads no image library.
"""

from typing import TYPE_CHECKING

from exportctl.server.export.options import ExportOptions

if TYPE_CHECKING:
    from exportctl.server.export.tasks import Plan

_COPIED = 0.3e-3
"""One image handed on as it is; its bytes go with the pixels."""
_COPIED_PIXEL = 1e-9
_DRAWN = 0.6e-3
_DRAWN_PIXEL = 32e-9
_DRAWN_POINT = 2.5e-6
_MEASURED_POLYGON = 165e-6
_ANNOTATED_POINT = {"coco": 1.2e-6, "yolo": 0.5e-6, "json": 0.25e-6}
_TABLED_POLYGON = {"excel": 95e-6, "csv": 18e-6, "json": 6e-6}
_LEAST = 1e-6
"""Of every image in every group: none is for nothing."""


def image_effort(pixels: int, points: int, options: ExportOptions) -> float:
    """Return what one image costs that is copied, drawn or both."""
    effort = _LEAST
    if options.images:
        effort += _COPIED + _COPIED_PIXEL * pixels
    if options.visualizations:
        effort += _DRAWN + _DRAWN_PIXEL * pixels + _DRAWN_POINT * points
    return effort


def efforts(plan: "Plan", options: ExportOptions) -> dict[str, float]:
    """Return what all steps of each group (`Step.group`) cost together; a group without work is absent."""
    least = _LEAST * plan.count
    found = {}
    if options.images or options.visualizations:
        found["images"] = (plan.count - 1) * image_effort(0, 0, options) + image_effort(
            plan.pixels, plan.points, options
        )
    for name in options.annotations:
        found[name] = least + _ANNOTATED_POINT[name] * plan.points
    if options.metrics:
        found["rows"] = least + _MEASURED_POLYGON * plan.polygons
        for name in options.metrics:
            found[f"{name} table"] = least + _TABLED_POLYGON[name] * plan.polygons
    return found
