"""Annotations as COCO, YOLO and JSON.

COCO and YOLO know no holes: there a part with holes is written as a keyhole, one ring that reaches each hole over a
bridge walked both ways. The JSON format is ours and keeps holes as they are. Ids are the same in all formats and in
the metrics.
"""

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, BinaryIO

import numpy as np
import orjson

from exportctl.server.export.planfile import PlannedImage, read_categories, read_images
from exportctl.server.export.shapes import Annotation, Ring, keyhole, part_area

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
# 1e-8 of 20,000 pixels is 0.0002 pixels.
_YOLO_DECIMALS = 8


def write_coco(plan_file: str, count: int, target: BinaryIO) -> None:
    """Write the COCO file of the whole plan, holding one image at a time."""
    # Images and annotations come together from the plan but lie apart in COCO: annotations wait in a file of their own.
    with TemporaryFile(dir=Path(plan_file).parent) as waiting:
        target.write(b'{"info":{"description":"Export of exportctl","version":"1.0"},"licenses":[],"images":[')
        between = b""
        for image in read_images(plan_file, 0, count):
            target.write((b",\n" if image.index else b"\n") + orjson.dumps(_coco_image(image)))
            between = _coco_annotations(image, waiting, between)
        target.write(b'],\n"categories":[')
        categories = read_categories(plan_file)
        target.write(
            b",".join(
                orjson.dumps({"id": n, "name": name, "supercategory": ""}) for n, name in enumerate(categories, 1)
            )
        )
        target.write(b'],\n"annotations":[')
        waiting.seek(0)
        copyfileobj(waiting, target, 1 << 20)
        target.write(b"]}\n")


def _coco_image(image: PlannedImage) -> dict[str, object]:
    return {
        "id": image.index + 1,
        "file_name": image.original,
        "width": image.header.width,
        "height": image.header.height,
    }


def _coco_annotations(image: PlannedImage, target: IO[bytes], between: bytes) -> bytes:
    for number, annotation in enumerate(image.annotations):
        low, high = _box(annotation)
        line = {
            "id": image.first + number,
            "image_id": image.index + 1,
            "category_id": annotation.category + 1,
            "iscrowd": 0,
            "area": sum(map(part_area, annotation.parts)),
            "bbox": [*low.tolist(), *(high - low).tolist()],
            "segmentation": [keyhole(part).ravel() for part in annotation.parts],
        }
        target.write(between + b"\n" + orjson.dumps(line, option=_NUMPY))
        between = b","
    return between


def _box(annotation: Annotation) -> tuple[Ring, Ring]:
    return (
        np.min([part.outer.min(axis=0) for part in annotation.parts], axis=0),
        np.max([part.outer.max(axis=0) for part in annotation.parts], axis=0),
    )


def yolo_labels(image: PlannedImage) -> bytes:
    """Return the label file of one image: a line for each part, coordinates as shares of the size."""
    size = np.array([image.header.width, image.header.height], dtype=np.float64)
    if not size.all():
        return b""
    lines = [
        b"%d %s\n" % (annotation.category, _shares(keyhole(part) / size))
        for annotation in image.annotations
        for part in annotation.parts
    ]
    return b"".join(lines)


def _shares(ring: Ring) -> bytes:
    rounded = np.round(ring.ravel(), _YOLO_DECIMALS)
    # orjson writes floats ten times as fast as formatting; a list of numbers is JSON but for its brackets and commas.
    return orjson.dumps(rounded, option=_NUMPY)[1:-1].replace(b",", b" ")


def yolo_dataset(categories: Sequence[str]) -> bytes:
    """Return `data.yaml`. Names are written as JSON texts, which YAML reads."""
    lines = [
        "# Put images/ of the archive beside labels/ to train with it.",
        "path: .",
        "train: images",
        "val: images",
        f"nc: {len(categories)}",
        "names:" if categories else "names: {}",
        *(f"  {number}: {orjson.dumps(name).decode()}" for number, name in enumerate(categories)),
    ]
    return ("\n".join(lines) + "\n").encode()


def json_annotations(image: PlannedImage, categories: Sequence[str]) -> bytes:
    """Return the JSON document of one image, holes and parts told apart; points are [x, y] in pixels."""
    document = {
        "image": {
            "id": image.index + 1,
            "fileName": image.original,
            "width": image.header.width or None,
            "height": image.header.height or None,
        },
        "annotations": [
            {
                "id": image.first + number,
                "number": number + 1,
                "categoryId": annotation.category + 1,
                "category": categories[annotation.category],
                "parts": [{"outer": part.outer, "holes": list(part.holes)} for part in annotation.parts],
            }
            for number, annotation in enumerate(image.annotations)
        ],
    }
    return orjson.dumps(document, option=_NUMPY | orjson.OPT_APPEND_NEWLINE)
