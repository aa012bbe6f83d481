"""LabelMe files become polygons of the image that they name or lie beside."""

import json

import numpy as np
import pytest

from exportctl.server.export.planfile import read_categories
from server.project_folders import CORNERS, INNER, areas, image, labelme, plan, shape


def test_labelme_polygons_rectangles_and_circles(folder):
    image(folder, "a.png")
    shapes = [
        shape("polygon", CORNERS),
        shape("rectangle", [[40, 40], [50, 30]], "box"),
        shape("circle", [[50, 15], [50, 25]]),
    ]
    (folder / "a.json").write_text(json.dumps(labelme(*shapes, shape("line", [[1, 1], [2, 2]]))))
    made, images = plan(folder)
    assert areas(images["a.png"]) == pytest.approx([400, 100, 100 * np.pi], rel=0.01)
    assert read_categories(made.file) == ("cell", "box")
    assert made.warnings == ("a.json: 1 shape is neither a polygon, a rectangle nor a circle and was left out",)


@pytest.mark.parametrize(
    "shapes",
    [
        (shape("polygon", CORNERS), shape("polygon", INNER, "hole")),
        (shape("polygon", CORNERS, group_id=3), shape("polygon", INNER, group_id=3)),
    ],
    ids=["labelled", "grouped"],
)
def test_labelme_holes(folder, shapes):
    image(folder, "a.png")
    (folder / "a.json").write_text(json.dumps(labelme(*shapes)))
    _, images = plan(folder)
    assert areas(images["a.png"]) == [375]


def test_a_labelled_hole_is_of_the_polygon_around_it_where_boxes_of_neighbours_overlap(folder):
    image(folder, "a.png")
    corner = [[1, 1], [40, 1], [40, 4], [4, 4], [4, 40], [1, 40]]
    shapes = [shape("polygon", corner), shape("polygon", CORNERS, "b"), shape("polygon", INNER, "hole")]
    (folder / "a.json").write_text(json.dumps(labelme(*shapes)))
    made, images = plan(folder)
    assert areas(images["a.png"]) == [39 * 3 + 3 * 36, 375]
    assert made.warnings == ()


def test_labelme_names_its_image_or_lies_beside_it(folder):
    for name in ("a.png", "b.png", "c.jpg", "c.png"):
        image(folder, "sub/" + name)
    (folder / "sub/other.json").write_text(json.dumps(labelme(shape("polygon", CORNERS), imagePath="..\\x\\a.png")))
    (folder / "sub/b.json").write_text(json.dumps(labelme(shape("polygon", CORNERS), imagePath="was-renamed.png")))
    (folder / "sub/c.json").write_text(json.dumps(labelme(shape("polygon", CORNERS), imagePath="c.png")))
    (folder / "lost.json").write_text(json.dumps(labelme(shape("polygon", CORNERS), imagePath="lost.png")))
    made, images = plan(folder)
    assert [name for name, planned in images.items() if planned.annotations] == ["sub/a.png", "sub/b.png", "sub/c.png"]
    assert "lost.json: its image is not in the folder; its polygons are left out" in made.warnings


def test_labelme_in_a_folder_of_its_own_finds_its_image(folder):
    image(folder, "images/a.png")
    (folder / "json").mkdir()
    (folder / "json/a.json").write_text(json.dumps(labelme(shape("polygon", CORNERS), imagePath="../images/a.png")))
    _, images = plan(folder)
    assert areas(images["images/a.png"]) == [400]
