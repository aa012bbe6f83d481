"""What comes in a file's place after the folder was read is neither exported nor read, wherever it leads."""

import json
import os
import shutil

import pytest

from exportctl.server.archive import ArchiveWriter
from exportctl.server.export import planning
from exportctl.server.export.folder import list_folder
from exportctl.server.export.opening import HeldFolder, held_within, open_within
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.outcome import Entry
from exportctl.server.export.tasks import image_task, plan_export
from exportctl.server.making import _append
from server.conftest import write_images
from server.project_folders import CORNERS, coco, image, labelme, shape


@pytest.fixture
def place(tmp_path):
    """A folder with a file two folders deep, and one beside it that is nobody's business."""
    outside = write_images(tmp_path / "outside", 1)
    folder = tmp_path / "project"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/x.png").write_bytes(b"inside")
    (outside / "b").mkdir()
    shutil.copy(outside / "cell 0001.png", outside / "b/x.png")
    return folder, outside


def read(folder, path):
    file = open_within(str(folder), str(path))
    with os.fdopen(file, "rb") as opened:
        return opened.read()


def replaced(folder, outside, how):
    file = folder / "a/b/x.png"
    match how:
        case "a link out of the folder":
            file.unlink()
            file.symlink_to(outside / "b/x.png")
        case "a folder that is a link":
            shutil.rmtree(folder / "a")
            (folder / "a").symlink_to(outside)
        case "a pipe":
            file.unlink()
            os.mkfifo(file)
        case "a folder":
            file.unlink()
            file.mkdir()
        case "a loop":
            file.unlink()
            file.symlink_to("x.png")
    return file


@pytest.mark.parametrize("how", ["a link out of the folder", "a folder that is a link", "a pipe", "a folder", "a loop"])
def test_only_a_regular_file_of_the_folder_is_opened(place, how):
    with pytest.raises(PermissionError) as refused:
        read(place[0], replaced(*place, how))
    assert str(place[0]) not in refused.value.strerror


def test_a_link_from_one_place_of_the_folder_to_another_is_followed(place):
    folder, _ = place
    (folder / "y.png").symlink_to("a/b/x.png")
    (folder / "c").symlink_to("a")
    assert read(folder, folder / "y.png") == read(folder, folder / "c/b/x.png") == b"inside"
    with pytest.raises(FileNotFoundError):
        read(folder, folder / "z.png")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only there a descriptor has a path")  # noqa: PTH112 - of Linux
def test_what_is_held_stays_the_same_file_whatever_comes_in_its_place(place):
    folder, outside = place
    with held_within(str(folder), str(folder / "a/b/x.png")) as held:
        replaced(folder, outside, "a link out of the folder")
        with open(held, "rb") as file:  # noqa: PTH123 - a path of the system's
            assert file.read() == b"inside"


@pytest.mark.parametrize("when", ["before it is drawn", "before it is copied"])
def test_an_image_that_was_replaced_by_a_link_gives_a_warning_and_nothing_of_what_it_leads_to(place, tmp_path, when):
    folder, outside = place
    shutil.copy(outside / "cell 0001.png", folder / "a/b/x.png")
    parts = tmp_path / "parts"
    parts.mkdir()
    options = ExportOptions()
    plan = plan_export(str(folder), str(tmp_path / "plan"), options)
    if when == "before it is drawn":
        replaced(folder, outside, "a link out of the folder")
    made = image_task(plan, 0, options, str(parts))
    if when == "before it is copied":
        replaced(folder, outside, "a folder that is a link")
    archive = ArchiveWriter(tmp_path / "archive.zip", 0)
    warnings = [*made.warnings, *filter(None, (_append(archive, entry) for entry in made.entries))]
    archive.seal()
    assert (outside / "b/x.png").read_bytes() not in (tmp_path / "archive.zip").read_bytes()
    assert any("the file is gone or cannot be read any more" in warning for warning in warnings)
    assert len(warnings) == (2 if when == "before it is drawn" else 1)


def test_a_file_in_the_place_of_the_whole_folder_gives_a_warning_of_each_image(place, tmp_path):
    folder, _ = place
    entry = Entry(name="images/x.png", file=str(folder / "a/b/x.png"), within=str(folder))
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("no folder")
    archive = ArchiveWriter(tmp_path / "archive.zip", 0)
    assert _append(archive, entry) == "images/x.png: the file is gone or cannot be read any more"
    archive.abandon()


POLYGONS = {
    "annotations.json": json.dumps(coco("a.png", categories=[{"id": 7, "name": "secret"}])),
    "a.json": json.dumps(labelme(shape("polygon", CORNERS, label="secret"))),
    "a.txt": "0 .1 .1 .9 .1 .9 .9",
    "data.yaml": "names: [secret]",
}


@pytest.mark.parametrize("way", ["a link out of the folder", "a pipe", "a folder that is a link"])
@pytest.mark.parametrize("name", POLYGONS)
def test_no_polygons_are_read_of_what_came_in_their_files_place(tmp_path, monkeypatch, name, way):
    folder, outside = tmp_path / "project/cells", tmp_path / "outside"
    for place, text in ((folder, "{}"), (outside, POLYGONS[name])):
        image(place, "a.png")
        (place / name).write_text(text)

    def exchanged(_folder):
        listing = list_folder(str(folder.parent))
        if way == "a folder that is a link":
            shutil.rmtree(folder)
            folder.symlink_to(outside)
        else:
            (folder / name).unlink()
            (folder / name).symlink_to(outside / name) if way.startswith("a link") else os.mkfifo(folder / name)
        return listing

    monkeypatch.setattr(planning, "open_folder", exchanged)
    plan = plan_export(str(folder.parent), str(tmp_path / "plan"), ExportOptions())
    assert "secret" not in (tmp_path / "plan.categories").read_text()
    assert plan.polygons == 0
    assert any(warning.startswith(f"cells/{name} cannot be read") for warning in plan.warnings)


def test_a_folder_that_became_a_link_while_the_project_was_listed_is_not_looked_into(place, monkeypatch):
    folder, outside = place
    look = HeldFolder.open_folder

    def exchanging(self, path):
        if path == "a":
            replaced(folder, outside, "a folder that is a link")
        return look(self, path)

    monkeypatch.setattr(HeldFolder, "open_folder", exchanging)
    listing = list_folder(str(folder))
    assert (listing.images, listing.unreadable) == ([], ["a"])


def test_an_image_that_became_a_pipe_keeps_no_worker(place, tmp_path):
    folder, outside = place
    shutil.copy(outside / "cell 0001.png", folder / "a/b/x.png")
    plan = plan_export(str(folder), str(tmp_path / "plan"), ExportOptions())
    replaced(folder, outside, "a pipe")
    (tmp_path / "parts").mkdir()
    assert image_task(plan, 0, ExportOptions(), str(tmp_path / "parts")).warnings == (
        "a/b/x.png cannot be read (it is no regular file); its bytes are exported as they are, without an overlay",
    )
