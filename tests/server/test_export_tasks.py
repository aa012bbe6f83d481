"""All tasks of an export in one process, and what others make of the files."""

import csv
import json
import pickle
import resource
import subprocess
import sys
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import shapely
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from exportctl.server.export.opencv import cv2
from exportctl.server.export.options import ExportOptions
from exportctl.server.export.outcome import Content
from exportctl.server.export.planfile import read_images
from exportctl.server.export.sample import make_sample
from exportctl.server.export.shapes import part_area
from exportctl.server.export.tasks import (
    SLICE,
    STAGES,
    Plan,
    image_task,
    plan_export,
    readme_task,
    stage_totals,
    steps,
    table_task,
)

NUCLEI = Path(__file__).parents[2].parent / "shared" / "data" / "nuclei"
ALL = ExportOptions(annotations=("coco", "yolo", "json"), metrics=("excel", "csv", "json"))


class Export:
    """One export run in this process, unpacked into `root`."""

    def __init__(self, folder, place, options=ALL):
        self.root = place / "archive"
        self.parts = place / "parts"
        self.parts.mkdir(parents=True)
        self.options = options
        self.plan = plan_export(str(folder), str(self.parts / "plan"), options)
        self.warnings = list(self.plan.warnings)
        self.done = Counter()
        for step in steps(self.plan, options, str(self.parts)):
            self.take(step.call(*step.args))
            for stage in step.stages:
                self.done[stage] += step.images
        self.take(readme_task(self.plan, options, "My *project*", tuple(self.warnings), str(self.parts)))

    def take(self, outcome):
        self.warnings += outcome.warnings
        assert set(outcome.seconds) <= set(STAGES)
        for entry in outcome.entries:
            target = self.root / entry.name
            assert not target.exists()
            assert (entry.data is None) != (entry.file is None)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = Path(entry.file).read_bytes() if entry.data is None else entry.data
            if entry.unpacked is not None:
                data = zlib.decompress(data, -zlib.MAX_WBITS)
                assert entry.unpacked == Content(crc=zlib.crc32(data), size=len(data))
            target.write_bytes(data)
            if entry.owned:
                assert Path(entry.file).parent == self.parts
                Path(entry.file).unlink()

    def names(self):
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())

    def images(self):
        return list(read_images(self.plan.file, 0, self.plan.count))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    place = tmp_path_factory.mktemp("sample")
    make_sample(place / "sample", 6)
    return Export(place / "sample", place)


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    if not NUCLEI.is_dir():
        pytest.skip("the real images lie beside the repository, and are not here")
    return Export(NUCLEI, tmp_path_factory.mktemp("nuclei"))


@pytest.fixture(params=["sample", "nuclei"])
def export(request):
    return request.getfixturevalue(request.param)


def test_every_image_is_in_the_archive_byte_by_byte_with_an_overlay_and_labels(export):
    names = export.names()
    for image in export.images():
        original = export.root / "images" / image.original
        assert original.read_bytes() == (Path(export.plan.folder) / image.path).read_bytes()
        overlay = cv2.imdecode(
            np.fromfile(export.root / f"visualizations/{image.stem}.png", np.uint8), cv2.IMREAD_COLOR
        )
        assert overlay.shape == (image.header.height, image.header.width, 3)
        assert f"annotations/yolo/labels/{image.stem}.txt" in names
        assert f"annotations/json/{image.stem}.json" in names
    assert {"README.md", "annotations/coco/annotations.json", "metrics/metrics.xlsx"} <= set(names)
    assert export.warnings == []
    assert export.plan.polygons > 10


def test_the_stages_add_up_to_their_totals(export):
    assert export.done == stage_totals(export.plan, ALL)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools itself
def test_pycocotools_rasterises_every_annotation_to_its_area(export, capsys):
    coco = COCO(str(export.root / "annotations/coco/annotations.json"))
    capsys.readouterr()
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == export.plan.polygons
    for annotation in annotations:
        raster = coco.annToMask(annotation)
        border = sum(shapely.LinearRing(np.reshape(part, (-1, 2))).length for part in annotation["segmentation"])
        assert abs(int(raster.sum()) - annotation["area"]) <= 0.5 * border + 2
        x, y, width, height = annotation["bbox"]
        assert coco_mask.toBbox(coco.annToRLE(annotation)) == pytest.approx([x, y, width, height], abs=2.01)
        assert annotation["iscrowd"] == 0


def test_yolo_labels_are_the_same_polygons(export):
    for image in export.images():
        text = (export.root / f"annotations/yolo/labels/{image.stem}.txt").read_text("utf-8")
        size = np.array([image.header.width, image.header.height])
        parts = [(a.category, part) for a in image.annotations for part in a.parts]
        lines = text.splitlines()
        assert len(lines) == len(parts)
        for line, (category, part) in zip(lines, parts, strict=True):
            number, *values = line.split()
            points = np.array(values, dtype=np.float64).reshape(-1, 2) * size
            assert int(number) == category
            assert np.abs(points[:1] - part.outer[:1]).max() < 0.01
            assert abs(signed(points)) == pytest.approx(part_area(part), abs=0.01)


def signed(points):
    x, y = points.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


@pytest.mark.parametrize("formats", ["coco", "yolo"])
def test_what_was_exported_can_be_exported_again_with_the_same_polygons(export, tmp_path, formats):
    again = tmp_path / "again"
    (again / "images").mkdir(parents=True)
    for image in export.images():
        (again / "images" / image.original).write_bytes((export.root / "images" / image.original).read_bytes())
    if formats == "coco":
        source = export.root / "annotations/coco/annotations.json"
        (again / "annotations.json").write_bytes(source.read_bytes())
    else:
        yolo = export.root / "annotations/yolo"
        (again / "labels").mkdir()
        (again / "data.yaml").write_bytes((yolo / "data.yaml").read_bytes())
        for label in (yolo / "labels").iterdir():
            (again / "labels" / label.name).write_bytes(label.read_bytes())
    second = plan_export(str(again), str(tmp_path / "plan"), ExportOptions())
    assert second.warnings == ()
    for first, other in zip(export.images(), read_images(second.file, 0, second.count), strict=True):
        ours = [part for a in first.annotations for part in a.parts]
        theirs = [part for a in other.annotations for part in a.parts]
        assert len(ours) == len(theirs)
        for one, two in zip(ours, theirs, strict=True):
            for ring, same in zip((one.outer, *one.holes), (two.outer, *two.holes), strict=True):
                assert same == pytest.approx(ring, abs=1e-9 if formats == "coco" else 0.01)


def test_tables_hold_a_row_for_each_part_and_agree(export):
    parts = [(image, a, part) for image in export.images() for a in image.annotations for part in a.parts]
    with (export.root / "metrics/metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    objects = json.loads((export.root / "metrics/metrics.json").read_text("utf-8"))["polygons"]
    sheet = openpyxl.load_workbook(export.root / "metrics/metrics.xlsx")["Metrics"]
    cells = list(sheet.iter_rows(min_row=2, values_only=True))
    assert len(rows) == len(objects) == len(cells) == len(parts)
    for (image, _, part), row, entry, line in zip(parts, rows, objects, cells, strict=True):
        polygon = shapely.Polygon(part.outer, part.holes)
        assert (row["Image"], entry["image"], line[0]) == (image.original,) * 3
        assert float(row["Area (px²)"]) == pytest.approx(polygon.area)
        assert entry["area"] == pytest.approx(polygon.area)
        assert line[5] == pytest.approx(polygon.area)
        assert float(row["Perimeter (px)"]) == pytest.approx(polygon.exterior.length)
        assert int(row["Annotation"]) == entry["annotationId"] == line[1]
        box = polygon.minimum_rotated_rectangle.exterior.coords
        sides = sorted(np.hypot(*(np.subtract(a, b))) for a, b in pairwise(box))
        # The narrowest enclosing strip is a side of some enclosing rectangle, never wider than that of least area.
        assert entry["feretMin"] <= sides[0] + 1e-6


def test_outlines_lie_on_what_is_bright(nuclei):
    """The 16-bit picture is visible, and within its polygons brighter than outside."""
    image = next(image for image in nuclei.images() if image.path == "nuclei-16bit.tif")
    plain = nuclei.parts / "plain.png"
    shown = cv2.imread(str(nuclei.root / "visualizations/nuclei-16bit.png"))
    inside = np.zeros(shown.shape[:2], np.uint8)
    for annotation in image.annotations:
        for part in annotation.parts:
            cv2.fillPoly(inside, [np.round(part.outer - 0.5).astype(np.int32)], 1)
    assert not plain.exists()
    # Green and blue of a red overlay are what is left of the picture.
    assert shown[inside == 1, 1].mean() > 2 * shown[inside == 0, 1].mean()
    assert shown[..., 1].max() > 200
    assert len(image.annotations) == 124


def test_holes_are_not_filled_and_have_their_own_colour(sample):
    image = next(image for image in sample.images() if any(p.holes for a in image.annotations for p in a.parts))
    part = next(part for a in image.annotations for part in a.parts if part.holes)
    overlay = cv2.imread(str(sample.root / f"visualizations/{image.stem}.png")).astype(int)
    original = cv2.imread(str(Path(sample.plan.folder) / image.path)).astype(int)
    x, y = part.holes[0].mean(axis=0).astype(int)
    assert np.array_equal(overlay[y, x], original[y, x])
    x, y = (part.holes[0][0] - 0.5).round().astype(int)
    blue, green, red = overlay[y, x]
    assert blue > red + 50
    assert blue > green + 50


def test_readme_says_what_is_in_the_archive(export):
    text = (export.root / "README.md").read_text("utf-8")
    assert text.startswith("# Export of My \\*project\\*\n")
    for part in ("`images/`", "`visualizations/`", "annotations/coco/annotations.json", "4πA/P²", "in px²", "None."):
        assert part in text


def test_the_sample_is_the_same_bytes_every_time_and_in_any_number(tmp_path):
    make_sample(tmp_path / "one", 3)
    make_sample(tmp_path / "two", 3)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["annotations.json", "spheroid_001.png", "spheroid_002.png", "spheroid_003.png"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_task_that_runs_twice_leaves_one_file_with_the_same_bytes(sample, tmp_path):
    first = image_task(sample.plan, 0, ALL, str(tmp_path))
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert image_task(sample.plan, 0, ALL, str(tmp_path)).entries == first.entries
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content
    assert list(content) == ["overlay-0.png"]


def test_nothing_is_made_that_was_not_asked_for(tmp_path):
    make_sample(tmp_path / "sample", 2)
    nothing = ExportOptions(images=False, visualizations=False, annotations=(), metrics=(), documentation=False)
    plan = plan_export(str(tmp_path / "sample"), str(tmp_path / "plan"), nothing)
    assert list(steps(plan, nothing, str(tmp_path))) == []
    assert stage_totals(plan, nothing) == {}
    only = ExportOptions(images=False, annotations=("yolo",), metrics=("csv",), documentation=False)
    names = Export(tmp_path / "sample", tmp_path / "only", only).names()
    assert {name.split("/")[0] for name in names} == {"visualizations", "annotations", "metrics", "README.md"}


@pytest.mark.parametrize("count", [1, SLICE, 5 * SLICE + 3])
def test_steps_cover_every_image_once_and_tables_follow_their_rows(count):
    plan = Plan(folder="/x", file="/x/plan", count=count, polygons=0, warnings=("w" * 10_000,))
    made = list(steps(plan, ALL, "/parts"))
    totals = Counter()
    for step in made:
        for stage in step.stages:
            totals[stage] += step.images
        assert len(pickle.dumps((step.call, step.args))) < 2000
    assert totals == stage_totals(plan, ALL)
    assert sorted(step.args[1] for step in made if step.call is image_task) == list(range(count))
    last_rows = max(at for at, step in enumerate(made) if step.group == "rows")
    tables = [at for at, step in enumerate(made) if step.call is table_task]
    assert min(tables) > last_rows
    assert all(made[at].after == "rows" for at in tables)


def test_planning_names_need_no_image_library(tmp_path):
    code = (
        "import sys, exportctl.server.export.tasks, exportctl.server.export.options;"
        "print([name for name in ('cv2', 'numpy', 'shapely', 'tifffile', 'xlsxwriter') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == "[]"


def test_damaged_images_are_exported_as_they_are_and_named_once(tmp_path, capfd):
    folder = tmp_path / "project"
    make_sample(folder, 3)
    whole = (folder / "spheroid_001.png").read_bytes()
    (folder / "spheroid_001.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")
    export = Export(folder, tmp_path / "out")
    names = export.names()
    for name in ("spheroid_001.png", "empty.png", "text.jpg"):
        assert (export.root / "images" / name).read_bytes() == (folder / name).read_bytes()
        assert f"visualizations/{Path(name).stem}.png" not in names
        assert sum(name in line for line in export.warnings if not line.startswith("no polygons")) == 1
    assert "visualizations/spheroid_002.png" in names
    assert "damaged: it is cut off" in (export.root / "README.md").read_text("utf-8")
    assert capfd.readouterr() == ("", "")


def test_names_with_everything_in_them_survive(tmp_path):
    folder = tmp_path / "project"
    make_sample(folder, 1)
    content = (folder / "spheroid_001.png").read_bytes()
    names = [
        'a "b" c.png',
        "bu\u0148ka č. 1.PNG",
        "x/same.png",
        "y/same.png",
        "twin.png",
        "twin.jpg",
        "=1+1.png",
        "{n}%s.png",
    ]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    made = Export(folder, tmp_path / "out").names()
    for name in names:
        assert f"images/{name}" in made
    for stem in ("x/same", "y/same", "twin_png", "twin_jpg", "=1+1", 'a "b" c'):
        assert f"visualizations/{stem}.png" in made


def test_an_overlay_that_cannot_be_written_is_an_oserror_and_no_half_file(tmp_path, capfd):
    make_sample(tmp_path / "sample", 1)
    plan = plan_export(str(tmp_path / "sample"), str(tmp_path / "plan"), ALL)
    parts = tmp_path / "parts"
    parts.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            image_task(plan, 0, ALL, str(parts))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (parts / "overlay-0.png").exists()
    assert capfd.readouterr() == ("", "")
