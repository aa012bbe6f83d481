"""Overlays: the image, its polygons filled and outlined, holes outlined in their own colour, and their numbers.

All areas go into one mask and are blended with the image once, band by band, so neither the number of polygons nor
their overlaps cost copies of the image: a picture of 20,000 x 20,000 needs one BGR copy and a mask of a third of
it. Lines are antialiased and placed to a sixteenth of a pixel. (0, 0) is the corner of the first pixel, OpenCV's is
its centre, so everything moves by half a pixel.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray

from exportctl.server.export.opencv import cv2
from exportctl.server.export.options import VisualizationStyle
from exportctl.server.export.pixels import Picture
from exportctl.server.export.shapes import Annotation, Part, Ring

_SHIFT = 4
_BAND_PIXELS = 1 << 21
_SMALLEST_NUMBER = 8
_RAMP = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
Mask = NDArray[np.uint8]


def draw(picture: Picture, annotations: Sequence[Annotation], style: VisualizationStyle) -> None:
    """Draw the annotations on the picture, in place; they are numbered from 1 in their order."""
    parts = [(number, part) for number, annotation in enumerate(annotations, 1) for part in annotation.parts]
    if not parts:
        return
    if style.transparency > 0:
        _fill(picture, [part for _, part in parts], _bgr(style.external_color), style.transparency)
    if style.stroke_width > 0:
        width = max(1, round(style.stroke_width))
        rings = [_fixed(part.outer) for _, part in parts]
        cv2.polylines(picture, rings, True, _bgr(style.external_color), width, cv2.LINE_AA, _SHIFT)  # noqa: FBT003
        holes = [_fixed(hole) for _, part in parts for hole in part.holes]
        if holes:
            cv2.polylines(picture, holes, True, _bgr(style.internal_color), width, cv2.LINE_AA, _SHIFT)  # noqa: FBT003
    if style.show_numbers:
        for number, part in parts:
            _write_number(picture, str(number), part, style.font_size)


def _fill(picture: Picture, parts: Sequence[Part], color: tuple[int, int, int], weight: float) -> None:
    """Blend the colour over all parts at once, within the box that holds them."""
    height, width = picture.shape[:2]
    low = np.floor(np.min([part.outer.min(axis=0) for part in parts], axis=0)).astype(int) - 1
    high = np.ceil(np.max([part.outer.max(axis=0) for part in parts], axis=0)).astype(int) + 1
    left, top = np.clip(low, 0, (width, height)).tolist()
    right, bottom = np.clip(high, 0, (width, height)).tolist()
    if right <= left or bottom <= top:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for part in parts:
        cv2.fillPoly(mask, [_fixed(ring, left, top) for ring in (part.outer, *part.holes)], 255, cv2.LINE_8, _SHIFT)
    # A table of what becomes of each value: one look-up a byte, where blending took four passes over the picture.
    tint = np.full((1, 256, 3), color, np.uint8)
    blended = cv2.addWeighted(_RAMP, 1 - weight, tint, weight, 0)
    rows = max(1, _BAND_PIXELS // (right - left))
    for start in range(0, bottom - top, rows):
        band = picture[top + start : min(top + start + rows, bottom), left:right]
        part_mask = mask[start : start + rows]
        cv2.copyTo(cv2.LUT(band, blended), part_mask, band)


def _fixed(ring: Ring, left: int = 0, top: int = 0) -> NDArray[np.int32]:
    """Return OpenCV's fixed-point coordinates of a ring, relative to a corner."""
    return np.round((ring - (left + 0.5, top + 0.5)) * (1 << _SHIFT)).astype(np.int32)


def _write_number(picture: Picture, text: str, part: Part, font_size: float) -> None:
    """Write white digits with a dark halo where the part is wide, smaller in small parts."""
    extent = part.outer.max(axis=0) - part.outer.min(axis=0)
    room = min(float(extent[1]) * 0.45, float(extent[0]) * 0.8 / len(text))
    strip = _strip(text, round(max(min(font_size, room), min(font_size, _SMALLEST_NUMBER))))
    glyphs, halo = strip
    x, y = _anchor(part)
    top, left = round(y - 0.5 - glyphs.shape[0] / 2), round(x - 0.5 - glyphs.shape[1] / 2)
    height, width = picture.shape[:2]
    # A number at the edge is moved in as far as the picture allows.
    top = max(0, min(top, height - glyphs.shape[0]))
    left = max(0, min(left, width - glyphs.shape[1]))
    area = picture[top : top + glyphs.shape[0], left : left + glyphs.shape[1]]
    light = glyphs[: area.shape[0], : area.shape[1], None]
    dark = halo[: area.shape[0], : area.shape[1], None]
    area[:] = (area * (255 - dark) // 255 * (255 - light) + 255 * light) // 255


def _anchor(part: Part) -> tuple[float, float]:
    """Return a point well inside the part: the middle of its box where that is inside, else one that shapely finds."""
    middle = (part.outer.max(axis=0) + part.outer.min(axis=0)) / 2
    x, y = float(middle[0]), float(middle[1])
    outer = part.outer.astype(np.float32)
    margin = 0.15 * float((part.outer.max(axis=0) - part.outer.min(axis=0)).min())
    inside = cv2.pointPolygonTest(outer, (x, y), True) > margin  # noqa: FBT003 - OpenCV's order
    if inside and all(
        cv2.pointPolygonTest(hole.astype(np.float32), (x, y), True) < -margin  # noqa: FBT003 - OpenCV's order
        for hole in part.holes
    ):
        return x, y
    point = shapely.point_on_surface(shapely.Polygon(part.outer, part.holes))
    return float(point.x), float(point.y)


@lru_cache(maxsize=4096)
def _strip(text: str, size: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return the digits and their halo as two masks of 0 to 255; drawing text anew costs 0.4 ms a number."""
    glyphs = [_glyph(digit, size) for digit in text]
    light, dark = (
        np.zeros((glyphs[0][0].shape[0], sum(advance for *_, advance in glyphs) + size), np.uint16) for _ in range(2)
    )
    at = 0
    for digit, halo, advance in glyphs:
        for strip, mask in ((light, digit), (dark, halo)):
            place = strip[:, at : at + mask.shape[1]]
            np.maximum(place, mask[:, : place.shape[1]], out=place)
        at += advance
    used = np.flatnonzero(dark.any(axis=0))
    return light[:, used[0] : used[-1] + 1], dark[:, used[0] : used[-1] + 1]


@lru_cache(maxsize=2048)
def _glyph(digit: str, size: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    """Draw one digit of the given height, four times as large, and take it down; return also its advance."""
    large = size * 4
    canvas = np.zeros((large * 2, large * 2), np.uint8)
    thickness = max(1, round(large / 8))
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, large, thickness)
    cv2.putText(
        canvas, digit, (large // 2, large * 3 // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA
    )
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    tight = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(1, round(tight.shape[1] * size / tight.shape[0]))
    small = cv2.resize(tight, (width, size), interpolation=cv2.INTER_AREA)
    margin = max(1, round(size / 8))
    framed = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return framed.astype(np.uint16), cv2.dilate(framed, kernel).astype(np.uint16), width + margin


def _bgr(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return blue, green, red
