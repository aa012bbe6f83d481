"""Metrics against shapely and brute force, and the tables they go into."""

import csv
import errno
import gc
import io
import json
from itertools import combinations

import numpy as np
import openpyxl
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from exportctl.server.export import tables
from exportctl.server.export.metrics import feret, measure
from exportctl.server.export.shapes import Part

point = st.tuples(st.floats(0, 1000), st.floats(0, 1000))


@st.composite
def stars(draw):
    """Return a star-shaped ring: simple whatever its radii."""
    count = draw(st.integers(3, 24))
    radii = np.array(draw(st.lists(st.floats(1, 400), min_size=count, max_size=count)))
    angle = np.arange(count) * 2 * np.pi / count
    return np.column_stack([500 + radii * np.cos(angle), 500 + radii * np.sin(angle)])


@given(ring=stars(), scale=st.none() | st.floats(0.01, 100))
def test_measures_agree_with_an_independent_computation(ring, scale):
    polygon = shapely.Polygon(ring)
    assume(polygon.is_valid and polygon.area > 1)
    (measures,) = measure([Part(outer=ring)], scale)
    k = scale or 1
    hull = polygon.convex_hull
    corners = [np.array(p) for p in hull.exterior.coords[:-1]]
    longest = max(float(np.hypot(*(a - b))) for a, b in combinations(corners, 2))
    box = shapely.Polygon(ring).bounds
    assert measures.area == pytest.approx(polygon.area * k * k)
    assert measures.perimeter == pytest.approx(polygon.length * k)
    assert measures.equivalent_diameter == pytest.approx(np.sqrt(4 * polygon.area / np.pi) * k)
    assert measures.circularity == pytest.approx(min(1, 4 * np.pi * polygon.area / polygon.length**2))
    assert measures.feret_max == pytest.approx(longest * k)
    assert measures.feret_min == pytest.approx(brute_width(hull) * k)
    assert measures.feret_aspect_ratio == pytest.approx(measures.feret_max / measures.feret_min)
    assert measures.width == pytest.approx((box[2] - box[0]) * k)
    assert measures.height == pytest.approx((box[3] - box[1]) * k)
    assert measures.extent == pytest.approx(polygon.area / ((box[2] - box[0]) * (box[3] - box[1])))
    assert measures.convexity == pytest.approx(hull.length / polygon.length)
    assert measures.solidity == pytest.approx(polygon.area / hull.area)


def brute_width(hull):
    """Return the smallest extent across any edge of the hull."""
    corners = np.array(hull.exterior.coords[:-1])
    widths = []
    for begin, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = end - begin
        length = np.hypot(*edge)
        across = corners @ np.array([-edge[1], edge[0]]) / length
        widths.append(across.max() - across.min())
    return min(widths)


@given(points=st.lists(point, min_size=3, max_size=60))
def test_feret_diameters_are_exact_on_any_hull(points):
    hull = shapely.MultiPoint(points).convex_hull
    assume(isinstance(hull, shapely.Polygon) and hull.area > 1e-3)
    corners = np.array(hull.exterior.coords[:-1])
    largest, smallest, orthogonal = feret(corners)
    distances = {
        pair: float(np.hypot(*(corners[pair[0]] - corners[pair[1]]))) for pair in combinations(range(len(corners)), 2)
    }
    assert largest == pytest.approx(max(distances.values()))
    assert smallest == pytest.approx(brute_width(hull), rel=1e-6, abs=1e-6)
    assert smallest <= orthogonal * (1 + 1e-9) + 1e-9
    assert orthogonal <= largest * (1 + 1e-9)


def test_known_shapes():
    (square,) = measure([Part(outer=np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=float))], 0.5)
    assert (square.area, square.perimeter, square.width, square.extent, square.solidity) == (25, 20, 5, 1, 1)
    assert square.feret_max == pytest.approx(50**0.5)
    assert square.feret_min == pytest.approx(5)
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    (disc,) = measure([Part(outer=np.column_stack([np.cos(angle), np.sin(angle)]) * 100)], None)
    assert disc.circularity == pytest.approx(1, abs=1e-5)
    assert disc.circularity <= 1
    assert disc.equivalent_diameter == pytest.approx(200, abs=0.01)


def test_holes_are_taken_off_the_area_and_leave_the_perimeter():
    outer = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], dtype=float)
    hole = np.array([[2, 2], [2, 4], [4, 4], [4, 2]], dtype=float)
    (measures,) = measure([Part(outer=outer, holes=(hole,))], None)
    assert measures.area == 96
    assert measures.perimeter == 40
    assert measures.solidity == 0.96


def test_what_has_no_meaning_is_none_and_never_nan():
    sliver = np.array([[0, 0], [1e-200, 0], [0, 1e-200]])
    (measures,) = measure([Part(outer=sliver)], None)
    assert measures.extent is None
    assert measures.circularity is None
    assert all(value is None or np.isfinite(value) for value in vars_of(measures))


def vars_of(measures):
    return [getattr(measures, name) for name in tables.MEASURES]


NASTY = ["=1+1", "+x", "-x.png", "@x", "a\x07b.png", 'řeka "č", 1.png', "x" * 40_000]


@pytest.fixture
def rows():
    values = [1.5, None, *([0.25] * (len(tables.MEASURES) - 2))]
    return [(name, [[name, 1, 1, 1, "=cell", *values], [name, 2, 2, 1, "cell", *values]]) for name in NASTY] + [
        ("empty.png", [])
    ]


def test_excel_has_a_frozen_header_with_units_and_texts_that_stay_texts(rows, tmp_path):
    path = tmp_path / "m.xlsx"
    tables.write_excel(iter(rows), 0.5, str(path))
    book = openpyxl.load_workbook(path)
    sheet = book["Metrics"]
    assert [cell.value for cell in sheet[1]] == tables.header(0.5)
    assert sheet["F1"].value == "Area (µm²)"
    assert sheet.freeze_panes == "A2"
    assert sheet.max_row == 1 + 2 * len(NASTY)
    assert sheet["A2"].value == "=1+1"
    assert sheet["A2"].data_type == "s"
    assert sheet["E2"].data_type == "s"
    assert (sheet["F2"].value, sheet["G2"].value) == (1.5, None)
    assert sheet["A12"].value == NASTY[5]
    summary = book["Summary"]
    assert [cell.value for cell in summary[2]] == ["=1+1", 2, 1.5, 3]
    assert [cell.value for cell in summary[summary.max_row]] == ["empty.png", 0, None, 0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a ZipFile closes itself once more
def test_a_full_disk_is_the_same_error_for_excel_as_for_every_file(rows, tmp_path):
    (tmp_path / "m.xlsx.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as full:
        tables.write_excel(iter(rows), None, str(tmp_path / "m.xlsx"))
    assert full.value.errno == errno.ENOSPC
    del full
    gc.collect()  # here, where it is known


def test_rows_beyond_what_a_sheet_holds_go_on_in_the_next(rows, tmp_path):
    path = tmp_path / "m.xlsx"
    tables.write_excel(iter(rows), None, str(path), limit=5)
    book = openpyxl.load_workbook(path)
    pages = [book[name] for name in book.sheetnames if name != "Summary"]
    assert [page.title for page in pages] == ["Metrics", "Metrics 2", "Metrics 3", "Metrics 4"]
    assert sum(page.max_row - 1 for page in pages) == 2 * len(NASTY)
    assert all(page["A1"].value == "Image" for page in pages)


def test_csv_defuses_formulas_and_reads_back(rows):
    written = io.BytesIO()
    tables.write_csv(iter(rows), None, written)
    read = list(csv.reader(io.StringIO(written.getvalue().decode(), newline="")))
    assert read[0] == tables.header(None)
    assert [row[0] for row in read[1::2]] == ["'=1+1", "'+x", "'-x.png", "'@x", *NASTY[4:]]
    assert read[1][5:7] == ["1.5", ""]


def test_json_names_unit_scale_and_every_value(rows):
    written = io.BytesIO()
    tables.write_json(iter(rows), 0.5, written)
    document = json.loads(written.getvalue())
    assert (document["unit"], document["micrometersPerPixel"]) == ("µm", 0.5)
    assert document["polygons"][0]["image"] == "=1+1"
    assert document["polygons"][0]["perimeter"] is None
    assert document["polygons"][0]["feretAspectRatio"] == 0.25


def test_no_polygons_make_a_table_of_a_header_row_only(tmp_path):
    as_csv, as_json = io.BytesIO(), io.BytesIO()
    for write, target in (
        (tables.write_csv, as_csv),
        (tables.write_excel, str(tmp_path / "m.xlsx")),
        (tables.write_json, as_json),
    ):
        write(iter([("a.png", [])]), None, target)
    assert len(as_csv.getvalue().splitlines()) == 1
    assert openpyxl.load_workbook(tmp_path / "m.xlsx")["Metrics"].max_row == 1
    assert json.loads(as_json.getvalue())["polygons"] == []
