"""Rings to polygons: keyholes, holes, repair, clipping."""

from unittest.mock import patch

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export import repair as repair_module
from exportctl.server.export.headers import Header
from exportctl.server.export.remarks import Remarks
from exportctl.server.export.repair import repaired
from exportctl.server.export.shapes import Part, Sketch, keyhole, part_area, split_keyhole


def ring(*points):
    return np.array(points, dtype=np.float64)


def square(x, y, side):
    return ring((x, y), (x + side, y), (x + side, y + side), (x, y + side))


def repair(*rings, holes=(), size=(100, 100)):
    remarks = Remarks()
    sketch = Sketch(category="cell", rings=rings, holes=tuple(holes))
    found = repaired([sketch], Header(width=size[0], height=size[1]), "a.png", remarks)
    return [part for _, parts in found for part in parts], remarks.lines()


def area(parts):
    return sum(map(part_area, parts))


NAN, INF = float("nan"), float("inf")

TABLE = {
    "fine": ([square(10, 10, 20)], 400, ""),
    "closed by hand": ([np.vstack([square(10, 10, 20), [[10, 10]]])], 400, ""),
    "points twice": ([np.repeat(square(10, 10, 20), 3, axis=0)], 400, ""),
    "two points": ([ring((1, 1), (5, 5))], 0, "1 polygon has fewer than three points and was left out"),
    "three points, two places": ([ring((1, 1), (5, 5), (1, 1), (5, 5))], 0, "fewer than three points"),
    "a line": ([ring((0, 0), (5, 5), (10, 10))], 0, "1 polygon has no area and was left out"),
    "bow tie": ([ring((0, 0), (10, 10), (10, 0), (0, 10))], 50, "1 polygon crosses itself and was repaired"),
    "lopsided bow tie": ([ring((0, 0), (20, 20), (20, 0), (0, 10))], 500 / 3, "crosses itself"),
    "spike": ([ring((0, 0), (10, 0), (10, 10), (30, 30), (10, 10), (0, 10))], 100, ""),
    "a part within a part": ([square(0, 0, 50), square(10, 10, 10)], 2400, ""),
    "an island in a hole": ([square(0, 0, 50), square(10, 10, 20), square(15, 15, 5)], 2125, ""),
    "parts apart": ([square(0, 0, 10), square(50, 50, 10)], 200, ""),
    "over the edge": ([square(-5, -5, 20)], 225, "1 polygon reaches outside the image and was clipped to it"),
    "over the edge by half a pixel": ([square(-0.5, -0.5, 20)], 19.5**2, ""),
    "outside": ([square(200, 200, 20)], 0, "1 polygon lies outside the image and was left out"),
    "around the image": ([square(-50, -50, 400)], 10_000, "clipped"),
    "not a number": ([square(NAN, 0, 5)], 0, "no usable numbers"),
    "infinite": ([square(INF, 0, 5)], 0, "no usable numbers"),
    "1e300": ([ring((0, 0), (1e300, 0), (0, 1e300))], 0, "no usable numbers"),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_geometries(name):
    rings, expected, says = TABLE[name]
    parts, lines = repair(*rings)
    assert area(parts) == pytest.approx(expected)
    assert len(lines) == (1 if says else 0)
    assert says in "".join(lines)
    for part in parts:
        assert shapely.Polygon(part.outer, part.holes).is_valid


@given(names=st.lists(st.sampled_from(list(TABLE)), max_size=9), size=st.sampled_from([(100, 100), (0, 0)]))
def test_many_polygons_asked_at_once_become_what_each_becomes_that_is_looked_at_alone(names, size):
    sketches = [Sketch(category=name, rings=tuple(TABLE[name][0])) for name in names]
    header = Header(width=size[0], height=size[1])

    def become(*sketches, remarks):
        found = repaired(sketches, header, "a.png", remarks)
        return [
            (category, [(part.outer.tolist(), [hole.tolist() for hole in part.holes]) for part in parts])
            for category, parts in found
        ]

    together, alone = Remarks(), Remarks()
    found = become(*sketches, remarks=together)
    with patch.object(repair_module, "_sound_as_they_are", lambda sketches, _: [False] * len(sketches)):
        assert found == [one for sketch in sketches for one in become(sketch, remarks=alone)]
    assert sorted(together.lines()) == sorted(alone.lines())


def test_a_fine_ring_is_handed_on_bit_by_bit():
    given_ring = ring((10.123456789, 10), (20, 10.1), (19.7, 20.3), (10, 20))
    parts, lines = repair(given_ring)
    assert np.array_equal(parts[0].outer, given_ring)
    assert not lines


def test_a_said_hole_in_no_polygon_is_left_out_with_a_warning():
    parts, lines = repair(square(0, 0, 50), holes=[square(10, 10, 10), square(60, 60, 5)])
    assert area(parts) == 2400
    assert lines == ("a.png: 1 hole lies in no polygon and was left out",)


def test_of_rings_side_by_side_each_is_compared_with_few_others(monkeypatch):
    asked = []
    covers = shapely.covers
    monkeypatch.setattr(shapely, "covers", lambda *both: asked.append(1) or covers(*both))
    monkeypatch.setattr(shapely, "contains_properly", lambda *both: asked.append(1) or covers(*both))
    nested = [square(40 - n / 8, 40 - n / 8, 1 + n / 4) for n in range(100)]
    apart = [square(x, y, 0.5) for x in range(80, 100) for y in range(80)]
    parts, lines = repair(*nested, *apart)
    assert (len(parts), lines) == (50 + len(apart), ())
    assert len(asked) < 2 * len(nested + apart)


def test_an_image_without_a_size_clips_nothing():
    parts, lines = repair(square(-5, -5, 20), size=(0, 0))
    assert area(parts) == 400
    assert not lines


@pytest.mark.parametrize("points", [700, 30_000, 1_000_000])
def test_a_tangle_without_end_is_left_out_in_bounded_time(points):
    tangle = np.random.default_rng(1).random((points, 2)) * 100
    parts, lines = repair(tangle)  # working it out would take minutes to days
    assert not parts
    assert "too often to be repaired" in lines[0]


def test_a_million_points_that_are_fine_are_kept():
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    parts, lines = repair(np.column_stack([50 + 40 * np.cos(angle), 50 + 40 * np.sin(angle)]))
    assert len(parts[0].outer) == 1_000_000
    assert not lines


coordinate = st.integers(0, 400).map(lambda n: n / 4)
holes_in_grid = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), unique=True, max_size=6)


@given(cells=holes_in_grid, turn=st.integers(0, 3), flip=st.booleans())
def test_a_keyhole_comes_apart_into_the_rings_it_was_made_of(cells, turn, flip):
    outer = np.roll(square(0, 0, 50), turn, axis=0)
    holes = tuple(square(3 + 12 * x, 3 + 12 * y, 8)[::-1] for x, y in cells)
    if flip:
        outer, holes = outer[::-1], tuple(hole[::-1] for hole in holes)
    part = Part(outer=outer, holes=holes)
    parts, lines = repair(keyhole(part))
    assert not lines
    assert len(parts) == 1
    assert np.array_equal(parts[0].outer, outer)
    assert sorted(hole.tolist() for hole in parts[0].holes) == sorted(hole.tolist() for hole in holes)


@given(points=st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=14))
def test_whatever_comes_out_is_valid_lies_in_the_image_and_can_be_repaired_again_unchanged(points):
    parts, _ = repair(ring(*points), size=(80, 60))
    for part in parts:
        polygon = shapely.Polygon(part.outer, part.holes)
        assert polygon.is_valid
        assert polygon.area > 0
        assert shapely.box(0, 0, 80, 60).buffer(1e-9).covers(polygon)
        assert part_area(part) == pytest.approx(polygon.area)
    if len(parts) == 1 and not parts[0].holes:
        again, lines = repair(parts[0].outer, size=(80, 60))
        assert not lines
        assert np.array_equal(again[0].outer, parts[0].outer)


@given(points=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_splitting_keeps_the_signed_area(points):
    def signed(shape):
        x, y = shape.T
        return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))

    whole = ring(*points)
    assert sum(map(signed, split_keyhole(whole))) == pytest.approx(signed(whole))


def test_warnings_are_counted_by_image_and_kind_and_capped():
    remarks = Remarks(limit=3)
    for number in range(5):
        remarks.count("clipped", f"{number}.png", number + 1)
        remarks.settle()
    lines = remarks.lines()
    assert lines[0] == "0.png: 1 polygon reaches outside the image and was clipped to it"
    assert lines[2] == "2.png: 3 polygons reach outside the image and were clipped to it"
    assert lines[3:] == ("and 2 more warnings",)
