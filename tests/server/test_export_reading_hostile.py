"""Whatever polygon files hold, it ends nothing: what is of no use is left out with a warning that names it."""

import json
import tracemalloc
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.planfile import read_categories
from exportctl.server.export.reading import jsonfile
from exportctl.server.export.reading.coco import is_coco, read_coco
from exportctl.server.export.reading.jsonfile import JsonFileError, read_json
from exportctl.server.export.reading.labelme import is_labelme, read_labelme
from exportctl.server.export.reading.yolo import read_labels, read_names
from exportctl.server.export.remarks import Remarks
from server.project_folders import CORNERS, SQUARE, areas, coco, image, labelme, plan, shape

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


def test_a_polygon_file_that_takes_the_machines_memory_to_be_read_is_named_instead(folder, monkeypatch):
    image(folder, "a.png")
    image(folder, "b.png")
    (folder / "a.json").write_text(json.dumps(labelme(shape("polygon", CORNERS))))
    (folder / "b.json").write_bytes(b'{"shapes": [' + b"[]," * 100_000 + b"[]]}")
    monkeypatch.setattr(jsonfile, "_SMALL", 0)
    monkeypatch.setattr(jsonfile, "memory", lambda: 1 << 20)
    made, images = plan(folder)
    assert areas(images["a.png"]) == [400]
    assert made.warnings[0].startswith("b.json is too large to be read: it takes more than half of the memory")


@pytest.mark.parametrize(
    "content",
    [b"[" + b"[]," * 50_000 + b"[]]", b"[" + b"[1.5,2.5]," * 50_000 + b"[]]", b"[" + b'{"a":1.5},' * 50_000 + b"{}]"],
    ids=["lists", "pairs", "objects"],
)
def test_no_json_takes_more_memory_than_it_is_held_to_take(content):
    tracemalloc.start()
    document = json.loads(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert document
    assert len(content) + peak <= jsonfile.weight(content)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [" + " #" * 1_000_000 + '"', []),
        ("names: [a" + " " * 1_000_000 + "x]", ["a"]),
        ("names: [a" + "'" * 1_000_000 + ", b]", ["a" + "'" * 199, "b"]),
    ],
    ids=["comments", "spaces", "quotes"],
)
def test_a_list_of_classes_is_read_in_time_whatever_it_is_made_of(text, names):
    assert [name.strip() for name in read_names(text).values() if not name.startswith("#")] == names
