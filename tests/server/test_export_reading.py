"""A folder becomes a plan: polygons from COCO, LabelMe and YOLO, whatever else lies there."""

import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.errors import ProjectError
from exportctl.server.export.folder import count_images
from exportctl.server.export.names import entry_names, folded
from exportctl.server.export.opencv import cv2
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.planfile import read_categories, read_image, read_images
from exportctl.server.export.reading.coco import is_coco, read_coco
from exportctl.server.export.reading.jsonfile import JsonFileError, read_json
from exportctl.server.export.reading.labelme import is_labelme, read_labelme
from exportctl.server.export.reading.yolo import read_labels, read_names
from exportctl.server.export.remarks import Remarks
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


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "project"
    made.mkdir()
    return made


def plan(folder, **options):
    made = plan_export(str(folder), str(folder.parent / "plan"), ExportOptions(**options))
    assert not any(str(folder) in line for line in made.warnings), "warnings name files relative to the folder"
    return made, {image.path: image for image in read_images(made.file, 0, made.count)}


def areas(planned):
    return [sum(map(part_area, annotation.parts)) for annotation in planned.annotations]


# --- COCO


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


def test_uncompressed_rle_becomes_polygons_and_compressed_is_named(folder):
    image(folder, "a.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:30] = 1
    mask[15:20, 15:20] = 0
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    document = coco("a.png")
    document["annotations"][0]["segmentation"] = {"size": [48, 64], "counts": counts}
    document["annotations"].append({"id": 9, "image_id": 0, "segmentation": {"size": [48, 64], "counts": "abc"}})
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    (area,) = areas(images["a.png"])
    assert area == 375
    assert made.warnings == (
        "annotations.json, a.png: 1 annotation is a compressed RLE mask, not a polygon, and was left out",
    )


HOSTILE_SEGMENTATIONS = [
    None,
    3,
    "x",
    True,
    [],
    [[]],
    [[1]],
    [[1, 2, 3]],
    [["1", "2", "3", "4", "5", "6"]],
    [[None] * 6],
    [[True, False] * 3],
    [[[[[1]]]]],
    {},
    {"counts": [1], "size": [1]},
    {"counts": [-5], "size": [4, 4]},
    {"counts": [1], "size": [10**9, 10**9]},
    {"counts": [[1]], "size": "x"},
    [[float("nan")] * 6],
    [[float("inf"), 0, 1, 1, 2, 2]],
    [[1e300] * 6],
    [[10**400, 1] * 3],
    [[-1e300, 1e300, 1e300, -1e300, 5, 5]],
    [[0, 0, 1, 1]],
    [[0] * 6],
    [0, 0, 1],
    {"a": [[]]},
    [{"x": 1}],
    [[1, 2], [3, 4]],
]


@pytest.mark.parametrize("segmentation", HOSTILE_SEGMENTATIONS, ids=lambda value: repr(value)[:40])
def test_a_hostile_segmentation_is_a_warning_and_the_next_annotation_is_kept(folder, segmentation):
    image(folder, "a.png")
    document = coco("a.png")
    document["annotations"].insert(0, {"id": 5, "image_id": 0, "category_id": 7, "segmentation": segmentation})
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    assert areas(images["a.png"]) == [400]
    assert len(made.warnings) == 1
    assert "a.png" in made.warnings[0]


HOSTILE_DOCUMENTS = {
    "empty": b"",
    "white": b" \n ",
    "cut off": json.dumps(coco("a.png")).encode()[:-30],
    "nested too deep": b"[" * 100_000,
    "nested too deep and closed": b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"images": [], "annotations": [], "x": "\xff\xfe\xff"}',
    "binary": bytes(range(256)) * 40,
    "a long number": b'{"images": [], "annotations": [' + b"9" * 100_000 + b"]",
    "a list": b"[1, 2]",
    "a word": b'"coco"',
}


@pytest.mark.parametrize("name", HOSTILE_DOCUMENTS)
def test_a_damaged_polygon_file_is_a_warning_that_names_it(folder, name):
    image(folder, "a.png")
    (folder / "sub").mkdir()
    (folder / "sub" / "annotations.json").write_bytes(HOSTILE_DOCUMENTS[name])
    made, images = plan(folder)
    assert list(images) == ["a.png"]
    assert any(line.startswith("sub/annotations.json ") for line in made.warnings)


@pytest.mark.parametrize(
    "content",
    [
        {
            "images": [None, 3, {"file_name": 3}, {"file_name": "a.png"}, {"id": [], "file_name": "a.png"}],
            "annotations": [None, 7, {"image_id": []}, {"image_id": {}}, {}],
        },
        {
            "images": [{"id": 1, "file_name": "a.png", "width": "x", "height": -3}],
            "annotations": [{"image_id": 1, "category_id": []}],
            "categories": [None, {"id": {}}, {"id": 1, "name": 5}],
        },
        {"images": [{"id": 1, "file_name": "\x00/../../../etc"}], "annotations": [], "categories": "x"},
    ],
    ids=["images", "values", "names"],
)
def test_garbage_within_a_coco_file_ends_nothing(folder, content):
    image(folder, "a.png")
    (folder / "annotations.json").write_text(json.dumps(content))
    made, images = plan(folder)
    assert areas(images["a.png"]) == []
    assert made.warnings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_other_encodings_is_read(folder, encoding):
    image(folder, "buňka.png")
    (folder / "annotations.json").write_bytes(json.dumps(coco("buňka.png"), ensure_ascii=False).encode(encoding))
    _, images = plan(folder)
    assert areas(images["buňka.png"]) == [400]


def test_one_nan_costs_one_annotation_not_the_file(folder):
    image(folder, "a.png")
    image(folder, "b.png")
    document = coco("a.png", "b.png")
    document["annotations"][0]["segmentation"] = [[float("nan"), *SQUARE[1:]]]
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    assert areas(images["b.png"]) == [400]
    assert "a.png: 1 polygon has coordinates that are no usable numbers and was left out" in made.warnings


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "image_id",
                    "category_id",
                    "segmentation",
                    "bbox",
                    "file_name",
                    "size",
                    "counts",
                    "label",
                    "points",
                    "shape_type",
                    "group_id",
                    "images",
                    "annotations",
                    "categories",
                    "shapes",
                    "imagePath",
                    "name",
                    "width",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(images=st.lists(json_values, max_size=3), annotations=st.lists(json_values, max_size=4), categories=json_values)
def test_no_json_makes_the_coco_reader_raise(images, annotations, categories):
    document = {"images": images, "annotations": annotations, "categories": categories}
    assert is_coco(document)
    read_coco(document, "x.json", Remarks())


@given(shapes=st.lists(json_values, max_size=5))
def test_no_json_makes_the_labelme_reader_raise(shapes):
    document = {"shapes": shapes}
    assert is_labelme(document)
    read_labelme(document, "x.json", Remarks())


@given(text=st.text(alphabet="0123456789. -ex\n'\"[]{},:#names", max_size=80))
def test_no_text_makes_the_yolo_readers_raise(text):
    read_labels(text, {}, (10, 10), "x.txt", Remarks())
    read_names(text)
    read_names("names: " + text)
    read_names("names:\n" + text)


@given(content=st.binary(max_size=60))
def test_no_bytes_make_the_json_reader_raise_anything_else(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(content)
    with suppress(JsonFileError):
        read_json(path)


# --- LabelMe


def labelme(*shapes, **more):
    return {"version": "5.0", "shapes": list(shapes), "imagePath": "a.png", "imageWidth": 64, "imageHeight": 48, **more}


def shape(kind, points, label="cell", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


CORNERS = [[10, 10], [30, 10], [30, 30], [10, 30]]
INNER = [[15, 15], [20, 15], [20, 20], [15, 20]]


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


def test_impossible_sizes_and_names_that_are_no_text_end_nothing(folder):
    (folder / "a.png").write_bytes(b"")
    image(folder, "b.png")
    (folder / "a.json").write_text(
        json.dumps(labelme(shape("polygon", CORNERS), imageWidth=10**30, imageHeight=10**30))
    )
    document = coco("b.png", "\ud800\x00.png", categories=[{"id": 7, "name": "\ud800\x1bcell"}])
    (folder / "annotations.json").write_text(json.dumps(document))
    made, images = plan(folder)
    assert areas(images["b.png"]) == [400]
    assert read_categories(made.file) == ("\ufffd\ufffdcell", "cell")
    orjson.dumps(made.warnings)


# --- YOLO


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


# --- several sources, folders, names


def test_labelme_goes_before_coco_and_coco_before_yolo_with_a_warning(folder):
    image(folder, "a.png")
    (folder / "annotations.json").write_text(json.dumps(coco("a.png")))
    (folder / "a.txt").write_text("0 0 0 1 0 1 1")
    made, images = plan(folder)
    assert areas(images["a.png"]) == [400]
    assert made.warnings == ("a.png: polygons are taken from annotations.json; those of a.txt are left out",)
    (folder / "a.json").write_text(json.dumps(labelme(shape("polygon", INNER))))
    made, images = plan(folder)
    assert areas(images["a.png"]) == [25]
    assert made.warnings == ("a.png: polygons are taken from a.json; those of annotations.json, a.txt are left out",)


def test_a_size_that_the_file_does_not_have_is_said(folder):
    image(folder, "a.png", (40, 40))
    (folder / "annotations.json").write_text(json.dumps(coco("a.png")))
    made, _ = plan(folder)
    assert made.warnings == ("a.png: annotations.json says the image has 64 x 48 pixels, the file has 40 x 40",)


def test_images_without_polygons_are_named_in_one_line(folder):
    for number in range(6):
        image(folder, f"{number}.png")
    made, _ = plan(folder)
    assert made.warnings == ("no polygons in 6 of 6 images: 0.png, 1.png, 2.png and 3 more",)
    assert count_images(str(folder)) == 6


def test_hidden_files_outside_links_and_folder_links_are_not_followed(folder, tmp_path):
    image(folder, "b/a.png")
    image(folder, ".hidden/a.png")
    image(folder, ".a.png")
    image(tmp_path / "outside", "x.png")
    (folder / "link.png").symlink_to(tmp_path / "outside" / "x.png")
    (folder / "inside.png").symlink_to(folder / "b" / "a.png")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to(folder / "none.png")
    os.mkfifo(folder / "pipe.png")
    _, images = plan(folder)
    assert list(images) == ["b/a.png", "inside.png"]


def test_a_selection_keeps_the_order_of_the_folder_and_an_unknown_one_is_refused(folder):
    for name in ("a.png", "sub/bu\u0148ka.png", "c.png"):
        image(folder, name)
    _, images = plan(folder, selected=("sub/bun\u030cka.png", "a.png"))
    assert list(images) == ["a.png", "sub/bu\u0148ka.png"]
    with pytest.raises(ProjectError) as caught:
        plan(folder, selected=("a.png", "none.png"))
    assert (caught.value.code, "none.png" in caught.value.message) == ("IMAGE_NOT_FOUND", True)


def test_no_folder_an_empty_one_and_a_file_are_told_apart(folder):
    for path, code in ((folder / "none", "PROJECT_NOT_FOUND"), (folder, "PROJECT_EMPTY")):
        with pytest.raises(ProjectError) as caught:
            plan_export(str(path), str(folder.parent / "plan"), ExportOptions())
        assert caught.value.code == code
        assert caught.value.hint
    (folder / "a.txt").write_text("")
    with pytest.raises(ProjectError) as caught:
        plan_export(str(folder / "a.txt"), str(folder.parent / "plan"), ExportOptions())
    assert caught.value.code == "PROJECT_NOT_FOUND"


def test_a_name_that_is_not_utf8_is_exported_under_a_safe_one(folder):
    raw = os.fsencode(str(folder)) + b"/caf\xe9.png"
    image(folder, "x.png")
    (folder / "x.png").rename(os.fsdecode(raw))
    made = plan_export(str(folder), str(folder.parent / "plan"), ExportOptions())
    planned = read_image(made.file, 0)
    assert planned.original == "caf_.png"
    assert Path(os.fsdecode(os.fsencode(str(folder)))).joinpath(planned.path).exists()
    planned.title.encode()


def test_stems_that_clash_carry_their_extension():
    originals, stems = entry_names(["a.jpg", "a.png", "b.png", "x/a.png", "B.tif", "a_png.png"])
    assert originals == ["a.jpg", "a.png", "b.png", "x/a.png", "B.tif", "a_png.png"]
    assert stems == ["a_jpg", "a_png_2", "b_png", "x/a", "B_tif", "a_png_3"] or len(set(map(folded, stems))) == 6


@given(paths=st.lists(st.text(alphabet="aAbB._/\u0148", min_size=1, max_size=6), unique=True, max_size=12))
def test_no_two_names_in_the_archive_are_alike_on_any_system(paths):
    for names in entry_names(paths):
        assert len(set(map(folded, names))) == len(paths)


def test_a_damaged_image_is_one_warning_and_its_polygons_stay(folder):
    (folder / "a.png").write_bytes(b"")
    (folder / "annotations.json").write_bytes(orjson.dumps(coco("a.png")))
    made, images = plan(folder)
    assert areas(images["a.png"]) == [400]
    assert (images["a.png"].header.width, images["a.png"].header.height) == (64, 48)
    assert made.warnings == ("a.png is empty (0 bytes); its bytes are exported as they are, without an overlay",)
