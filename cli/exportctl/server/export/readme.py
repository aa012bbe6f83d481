"""README.md of an export: what is in it, how it was made, and what the numbers mean."""

from collections.abc import Sequence

from exportctl.server.export.options import ExportOptions
from exportctl.server.export.remarks import printable
from exportctl.server.export.tables import unit

_FORMULAS = """\
| metric | formula |
|---|---|
| area A | shoelace formula, holes taken off |
| perimeter P | length of the outer contour |
| equivalent diameter | √(4A/π) |
| circularity | 4πA/P², at most 1 |
| Feret diameter max | largest distance of two points of the contour |
| Feret diameter min | smallest distance of two parallel lines that enclose the contour (rotating calipers) |
| Feret diameter orthogonal to max | extent across the direction of the largest |
| Feret aspect ratio | Feret max / Feret min |
| extent | A / (bounding box width * height) |
| convexity | perimeter of the convex hull / P |
| solidity | A / area of the convex hull |
| bounding box width, height | extent along x and y |
"""


_NAMES = """\
Where two images of a folder differ in their extension only, the names derived from them carry it: `a.png` and `a.jpg`
give `a_png` and `a_jpg`. Ids of annotations are the same in all formats and in the metrics."""

_COORDINATES = """\
Polygons are in pixels of the stored image (an EXIF orientation is not applied); (0, 0) is the outer corner of the
first pixel, x goes right and y down. An edge that a polygon walks there and back encloses nothing: it is left out, and
what it joins is parts of one annotation."""


def readme(
    project: str,
    *,
    images: int,
    polygons: int,
    categories: Sequence[str],
    options: ExportOptions,
    warnings: Sequence[str],
) -> str:
    """Return the whole text."""
    sections = [
        f"# Export of {_inline(project)}",
        f"{_number(images, 'image')}, {_number(polygons, 'annotation')}, {_categories(categories)}. Made by exportctl.",
        "## What is in it",
        _layout(options),
        _NAMES,
        "## Coordinates",
        _COORDINATES,
    ]
    if {"coco", "yolo"} & set(options.annotations):
        sections.append(
            "COCO and YOLO have no holes: a polygon with holes is one ring there, which reaches each hole over a "
            "bridge that is walked both ways. Both fill rules draw it right."
        )
    if options.metrics:
        sections += ["## Metrics", _metrics(options)]
    sections += ["## Options", _options(options)]
    lines = "\n".join(f"- {_inline(line)}" for line in warnings) if warnings else "None."
    return "\n\n".join([*sections, "## Warnings", lines]) + "\n"


def _layout(options: ExportOptions) -> str:
    annotations = {
        "coco": ("annotations/coco/annotations.json", "COCO: all images; `file_name` is the path within `images/`"),
        "yolo": ("annotations/yolo/", "YOLO segmentation: `data.yaml`, and `labels/` with a file for each image"),
        "json": ("annotations/json/", "a JSON document for each image, holes and parts told apart"),
    }
    metrics = {
        "excel": ("metrics/metrics.xlsx", "a row for each part of each annotation, and a summary by image"),
        "csv": ("metrics/metrics.csv", "the same rows; a text that looks like a formula stands behind an apostrophe"),
        "json": ("metrics/metrics.json", "the same rows"),
    }
    rows = []
    if options.images:
        rows.append(("images/", "the original files, byte by byte"))
    if options.visualizations:
        rows.append(
            ("visualizations/", "the images with polygons drawn in, as PNG; deep images with stretched contrast")
        )
    rows += [annotations[name] for name in options.annotations]
    rows += [metrics[name] for name in options.metrics]
    return "| path | content |\n|---|---|\n" + "\n".join(f"| `{path}` | {text} |" for path, text in rows)


def _metrics(options: ExportOptions) -> str:
    length = unit(options.scale)
    scale = "No scale was given." if options.scale is None else f"The scale is {options.scale:g} µm per pixel."
    return (
        f"Lengths are in {length}, areas in {length}². {scale} "
        "Values without a meaning (a division by zero) are empty.\n\n" + _FORMULAS.rstrip()
    )


def _options(options: ExportOptions) -> str:
    style = options.style
    chosen = {
        "images": "yes" if options.images else "no",
        "overlays": "yes" if options.visualizations else "no",
        "annotations": ", ".join(options.annotations) or "none",
        "metrics": ", ".join(options.metrics) or "none",
        "selection": "all images" if not options.selected else _number(len(options.selected), "image"),
    }
    if options.visualizations:
        chosen["overlay style"] = (
            f"polygons {style.external_color}, holes {style.internal_color}, stroke {style.stroke_width:g} px, "
            f"fill {style.transparency:.0%}, numbers "
            + (f"up to {style.font_size:g} px high" if style.show_numbers else "not shown")
        )
    return "\n".join(f"- {name}: {value}" for name, value in chosen.items())


def _categories(categories: Sequence[str]) -> str:
    shown = ", ".join(_inline(name) for name in categories[:20])
    more = f" and {len(categories) - 20} more" if len(categories) > 20 else ""  # noqa: PLR2004 - as many as are shown
    return f"categories: {shown}{more}" if categories else "no categories"


def _inline(text: str) -> str:
    """Keep a foreign text on its line, and its marks from being Markdown's."""
    flat = printable(" ".join(text.split()))
    return "".join("\\" + sign if sign in "\\`*_[]<>|#" else sign for sign in flat)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
