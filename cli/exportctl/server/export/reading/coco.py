"""COCO JSON: `images`, `annotations` with polygon segmentations or RLE masks, `categories`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import shapely

from exportctl.server.export.reading.points import flat_ring
from exportctl.server.export.remarks import Remarks
from exportctl.server.export.shapes import Ring, Sketch

_RLE_PIXELS = 1 << 26
_RLE_RUNS = 100_000
_RLE_LETTERS = 1 << 20
_LETTERS_A_RUN = 7
_NAME_LENGTH = 200


@dataclass(slots=True)
class CocoFile:
    """One COCO file: its categories in order, and for each image (by file name and given size) its annotations.

    `strays` are annotations of no image, `repeats` images with the id of another.
    """

    categories: tuple[str, ...] = ()
    images: dict[str, list[Sketch]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    strays: int = 0
    repeats: int = 0


def is_coco(document: object) -> bool:
    """Tell whether this JSON means to be COCO."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("images"), list)
        and isinstance(document.get("annotations"), list)
    )


def read_coco(document: dict[str, Any], name: str, remarks: Remarks) -> CocoFile:
    """Read a document for which `is_coco` holds; `name` is the file's, for remarks. The document is used up."""
    result = CocoFile()
    categories = _categories(document.get("categories"))
    result.categories = tuple(categories.values())
    files: dict[object, str] = {}
    for image in document["images"]:
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            remarks.say(f"{name}: an entry of its images has no file_name and was left out")
            continue
        file_name = image["file_name"]
        if isinstance(image.get("id"), int | str):
            result.repeats += files.get(image["id"], file_name) != file_name
            files[image["id"]] = file_name
        result.images.setdefault(file_name, [])
        width, height = image.get("width"), image.get("height")
        if type(width) is int and type(height) is int and 0 < width < 2**31 and 0 < height < 2**31:
            result.sizes[file_name] = (width, height)
    annotations = document["annotations"]
    annotations.reverse()
    # Each annotation is let go as it is read: what JSON makes of coordinates takes five times the memory of an array.
    while annotations:
        annotation = annotations.pop()
        if not isinstance(annotation, dict):
            remarks.count("malformed", name)
            continue
        image_id = annotation.get("image_id")
        file_name = files.get(image_id) if isinstance(image_id, int | str) else None
        if file_name is None:
            result.strays += 1
            continue
        category_id = annotation.get("category_id")
        category = categories.get(category_id) if isinstance(category_id, int | str) else None
        sketch = _sketch(annotation, category or _unnamed(category_id), f"{name}, {file_name}", remarks)
        if sketch is not None:
            result.images[file_name].append(sketch)
    return result


def _unnamed(category_id: object) -> str:
    return f"category {category_id}"[:_NAME_LENGTH] if isinstance(category_id, int | str) else "object"


def _categories(given: object) -> dict[object, str]:
    found: dict[object, str] = {}
    for category in given if isinstance(given, list) else []:
        if isinstance(category, dict) and isinstance(category.get("id"), int | str):
            name = category.get("name")
            found[category["id"]] = name[:_NAME_LENGTH] if isinstance(name, str) and name else _unnamed(category["id"])
    return found


def _sketch(annotation: dict[str, Any], category: str, name: str, remarks: Remarks) -> Sketch | None:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        rings, holes = _from_rle(segmentation, name, remarks)
        return Sketch(category=category, rings=rings, holes=holes) if rings else None
    if not segmentation and isinstance(annotation.get("bbox"), list):
        remarks.count("box", name)
        return None
    if not isinstance(segmentation, list) or not segmentation:
        remarks.count("malformed", name)
        return None
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
    rings = tuple(_rings(parts, name, remarks))
    return Sketch(category=category, rings=rings) if rings else None


def _rings(parts: list[object], name: str, remarks: Remarks) -> Iterator[Ring]:
    for part in parts:
        ring = flat_ring(part)
        if ring is None:
            remarks.count("malformed", name)
        else:
            yield ring


def _from_rle(mask: dict[str, Any], name: str, remarks: Remarks) -> tuple[tuple[Ring, ...], tuple[Ring, ...]]:
    """Trace an RLE mask (column by column, starting with a run of zeros) along the edges of its pixels."""
    counts, size = mask.get("counts"), mask.get("size")
    if isinstance(counts, str):
        counts = uncompressed(counts)
    if not _is_counts(counts) or not _is_counts(size) or len(size) != 2:  # noqa: PLR2004 - height and width
        remarks.count("malformed", name)
        return (), ()
    height, width = size
    if not 0 < height * width <= _RLE_PIXELS or sum(counts) != height * width:
        remarks.count("malformed", name)
        return (), ()
    columns = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.int8).reshape(width, height)
    steps = np.diff(np.pad(columns, ((0, 0), (1, 1))), axis=1)
    (x, top), bottom = np.nonzero(steps == 1), np.nonzero(steps == -1)[1]
    if not 0 < len(x) <= _RLE_RUNS:
        remarks.count("malformed", name)
        return (), ()
    union = shapely.simplify(shapely.union_all(shapely.box(x, top, x + 1, bottom)), 0)
    polygons = [polygon for polygon in shapely.get_parts(union) if isinstance(polygon, shapely.Polygon)]
    outers = tuple(shapely.get_coordinates(polygon.exterior) for polygon in polygons)
    holes = tuple(shapely.get_coordinates(hole) for polygon in polygons for hole in polygon.interiors)
    return outers, holes


def uncompressed(text: str) -> list[int] | None:
    """Read the counts as pycocotools compresses them; None when they are not that.

    A count is written in letters of five bits from "0" on, low bits first, the sixth bit saying that more follow; from
    the fourth count on it is the difference to the one before the last.
    """
    if len(text) > _RLE_LETTERS:
        return None
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift >= 5 * _LETTERS_A_RUN:  # noqa: PLR2004 - six bits
            return None
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)  # noqa: PLR2004 - see above
        value = shift = 0
    return None if shift else counts


def _is_counts(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**31 for value in values)
