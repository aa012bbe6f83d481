"""A folder becomes a plan: which images are in it, whose polygons they get, and how they are named in the archive."""

import json
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.errors import ProjectError
from exportctl.server.export.listings import Listings
from exportctl.server.export.names import entry_names, folded
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.planfile import read_image
from exportctl.server.export.tasks import plan_export
from server.project_folders import INNER, areas, coco, image, labelme, plan, shape


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
    assert Listings().count(str(folder)) == 6


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
