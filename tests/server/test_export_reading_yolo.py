"""YOLO's segmentation labels become polygons, wherever its layouts put them."""

import pytest

from exportctl.server.export.planfile import read_categories
from exportctl.server.export.reading.yolo import read_names
from server.project_folders import areas, image, plan


def test_yolo_labels_in_the_layout_of_yolo_and_beside_the_image(folder):
    line = "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"
    image(folder, "images/train/a.png", (100, 50))
    image(folder, "b.png", (100, 50))
    (folder / "labels/train").mkdir(parents=True)
    (folder / "labels/train/a.txt").write_text(line)
    (folder / "b.txt").write_text(line + "0 0.5 0.5 0.1 0.1\n0 1 2 3\n0 0.1 0.1\nx\n")
    (folder / "data.yaml").write_text('path: .\nnames:\n  0: cell\n  1: "nucleus # 2"  # comment\nnc: 2\n')
    made, images = plan(folder)
    assert areas(images["images/train/a.png"]) == [1250]
    assert areas(images["b.png"]) == [1250]
    assert read_categories(made.file) == ("cell", "nucleus # 2")
    assert images["b.png"].annotations[0].category == 1
    assert "b.txt: 1 label is a box, not a polygon, and was left out" in made.warnings


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cell, 'dead cell', \"a, b\"]", ["cell", "dead cell", "a, b"]),
        ("nc: 2\nnames: ['it''s',\n  other]\n", ["it's", "other"]),
        ("names: {0: a, 1: b}", ["a", "b"]),
        ("names:\n- a\n- 'b'\nval: x", ["a", "b"]),
        ("names:\n  - a # first\n\n  - b\n", ["a", "b"]),
        ("names:\n  0: a\n  1: b: c\ntrain: x", ["a", "b: c"]),
        ("train: x", []),
        ("names:", []),
    ],
)
def test_class_names_as_yolo_writes_them(text, names):
    assert list(read_names(text).values()) == names


@pytest.mark.parametrize("names", ["names: &n [*n]\n", "names: !include more.yaml\n", "nc: 2\n"])
def test_names_that_cannot_be_read_are_told(folder, names):
    image(folder, "a.png")
    (folder / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (folder / "data.yaml").write_text(names)
    made, images = plan(folder)
    assert len(images["a.png"].annotations) == 1
    assert read_categories(made.file) == ("class 0",)
    assert made.warnings == ("data.yaml lists no names that can be read; classes have no names",)


def test_labels_in_another_encoding_are_told_where_there_are_names_of_classes(folder):
    image(folder, "a.png")
    (folder / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n", encoding="utf-16")
    assert not any("a.txt" in line for line in plan(folder)[0].warnings)
    (folder / "data.yaml").write_text("names: [a]\n")
    made, _ = plan(folder)
    assert "a.txt is damaged (it is not UTF-8 text); its polygons are left out" in made.warnings


def test_labels_of_our_own_export_are_found_where_a_folder_within_is_called_images(folder):
    image(folder, "images/images/train/a.png")
    (folder / "labels/images/train").mkdir(parents=True)
    (folder / "labels/images/train/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    _, images = plan(folder)
    assert len(images["images/images/train/a.png"].annotations) == 1
