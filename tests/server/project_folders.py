"""Folders of images with polygons beside them, as people have them, and the plans that the server makes of them."""

import numpy as np

from exportctl.server.export.opencv import cv2
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.planfile import read_images
from exportctl.server.export.shapes import part_area
from exportctl.server.export.tasks import plan_export

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def image(folder, name, size=(64, 48)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.zeros((size[1], size[0]), np.uint8))[1].tobytes())


def coco(*images, segmentation=(SQUARE,), **more):
    return {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(images)],
        "categories": [{"id": 7, "name": "cell"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "segmentation": list(segmentation)} for n in range(len(images))
        ],
        **more,
    }


def plan(folder, **options):
    made = plan_export(str(folder), str(folder.parent / "plan"), ExportOptions(**options))
    assert not any(str(folder) in line for line in made.warnings), "warnings name files relative to the folder"
    return made, {image.path: image for image in read_images(made.file, 0, made.count)}


def areas(planned):
    return [sum(map(part_area, annotation.parts)) for annotation in planned.annotations]


def labelme(*shapes, **more):
    return {"version": "5.0", "shapes": list(shapes), "imagePath": "a.png", "imageWidth": 64, "imageHeight": 48, **more}


def shape(kind, points, label="cell", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


CORNERS = [[10, 10], [30, 10], [30, 30], [10, 30]]


INNER = [[15, 15], [20, 15], [20, 20], [15, 20]]
