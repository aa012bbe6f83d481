"""COCO files of any name become polygons of the images that they mean, their holes and categories kept."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from exportctl.server.export.planfile import read_categories
from exportctl.server.export.reading.coco import uncompressed
from exportctl.server.export.shapes import part_area
from server.project_folders import SQUARE, areas, coco, image, plan


def test_coco_of_any_name_is_found_and_its_categories_kept(folder):
    image(folder, "a.png")
    (folder / "my polygons.json").write_text(json.dumps(coco("a.png")))
    made, images = plan(folder)
    assert areas(images["a.png"]) == [400]
    assert read_categories(made.file) == ("cell",)
    assert made.warnings == ()
    assert (made.count, made.polygons) == (1, 1)


@pytest.mark.parametrize(
    ("document", "written", "there"),
    [
        ("annotations.json", "sub/a.png", "sub/a.png"),
        ("sub/annotations.json", "a.png", "sub/a.png"),
        ("sub/annotations.json", "sub/a.png", "sub/a.png"),
        ("annotations/coco/annotations.json", "a.png", "images/a.png"),
        ("annotations.json", "C:\\data\\a.png", "sub/a.png"),
        ("annotations.json", "a\\b.png", "a\\b.png"),
        ("annotations.json", "/somewhere/else/a.png", "sub/a.png"),
        ("annotations.json", "./sub/../sub/a.png", "sub/a.png"),
        ("annotations.json", "bun\u030cka.png", "bu\u0148ka.png"),
        ("annotations.json", "bu\u0148ka.png", "bun\u030cka.png"),
    ],
)
def test_coco_file_names_are_found_where_tools_put_them(folder, document, written, there):
    image(folder, there)
    (folder / document).parent.mkdir(parents=True, exist_ok=True)
    (folder / document).write_text(json.dumps(coco(written)))
    _, images = plan(folder)
    assert areas(images[there]) == [400]


def test_images_that_share_an_id_are_named_once(folder):
    image(folder, "a.png")
    image(folder, "b.png")
    document = coco("a.png")
    document["images"].append({**document["images"][0], "file_name": "b.png"})
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    assert areas(images["b.png"]) == [400]
    assert made.warnings[0] == (
        "annotations.json: 1 of its images have the id of another; annotations with such an id were given to the last "
        "of them"
    )


def test_a_bare_name_that_two_images_have_is_not_guessed(folder):
    image(folder, "x/a.png")
    image(folder, "y/a.png")
    (folder / "annotations.json").write_text(json.dumps(coco("a.png")))
    made, images = plan(folder)
    assert [areas(i) for i in images.values()] == [[], []]
    assert "annotations.json: 1 of its images are not in the folder (a.png)" in made.warnings


def test_parts_of_a_coco_annotation_stay_together_and_an_inner_one_is_a_hole(folder):
    image(folder, "a.png")
    inner, apart = [15, 15, 20, 15, 20, 20, 15, 20], [40, 10, 50, 10, 50, 20, 40, 20]
    (folder / "annotations.json").write_text(json.dumps(coco("a.png", segmentation=(SQUARE, inner, apart))))
    _, images = plan(folder)
    (annotation,) = images["a.png"].annotations
    assert sorted((part_area(part), len(part.holes)) for part in annotation.parts) == [(100, 0), (375, 1)]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_rle_becomes_polygons_and_what_is_none_is_named(folder, is_compressed):
    image(folder, "a.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:30] = 1
    mask[15:20, 15:20] = 0
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    document = coco("a.png")
    packed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    document["annotations"][0]["segmentation"] = {"size": [48, 64], "counts": packed if is_compressed else counts}
    document["annotations"].append({"id": 9, "image_id": 0, "segmentation": {"size": [48, 64], "counts": "abc"}})
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    (area,) = areas(images["a.png"])
    assert area == 375
    assert made.warnings == (
        "annotations.json, a.png: 1 annotation is not a list of coordinate pairs and was left out",
    )


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40))
def test_compressed_counts_are_read_as_pycocotools_writes_them(rows):
    mask = np.asfortranarray(np.array(rows, np.uint8))
    counts = uncompressed(coco_mask.encode(mask)["counts"].decode())
    flat = mask.T.ravel()
    assert np.repeat(np.arange(len(counts)) % 2, counts).tolist() == flat.tolist()


@given(st.text(max_size=40) | st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40))
def test_no_text_makes_the_reader_of_compressed_counts_raise(text):
    uncompressed(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_other_encodings_is_read(folder, encoding):
    image(folder, "buňka.png")
    (folder / "annotations.json").write_bytes(json.dumps(coco("buňka.png"), ensure_ascii=False).encode(encoding))
    _, images = plan(folder)
    assert areas(images["buňka.png"]) == [400]
