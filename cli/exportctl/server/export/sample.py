"""The sample project: spheroids in a dark, noisy field, some with a dark core, and their outlines as COCO.

Made on the spot and the same every time: each image has its own generator of random numbers, seeded with the image's
number, so image 7 is the same in a sample of 8 and of 8,000. Images are written one by one; memory stays flat.
"""

from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from exportctl.server.export.aside import aside
from exportctl.server.export.opencv import cv2
from exportctl.server.export.shapes import Part, Ring, keyhole, part_area

SIDE = 512
"""Pixels of an image's side."""

_SEED = 20_240_501
_OUTLINE_POINTS = 48
_PLACES = ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))


def make_sample(folder: Path | str, count: int = 24) -> None:
    """Write `count` PNG images and annotations.json into the folder, which is made if need be."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    digits = max(3, len(str(count)))
    images = []
    first = 1
    with aside(str(place / "annotations.json")) as new, new.open("wb") as target:
        target.write(b'{"categories":[{"id":1,"name":"spheroid"}],"annotations":[')
        for number in range(1, count + 1):
            name = f"spheroid_{number:0{digits}}.png"
            picture, parts = _field(number)
            # Huffman coding alone: OpenCV's fastest, and the same bytes on every machine with this zlib.
            encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY])[
                1
            ]
            (place / name).write_bytes(encoded.tobytes())
            images.append(orjson.dumps({"id": number, "file_name": name, "width": SIDE, "height": SIDE}))
            for part in parts:
                target.write((b",\n" if first > 1 else b"\n") + _annotation(first, number, part))
                first += 1
        target.write(b'],"images":[\n' + b",\n".join(images) + b"]}\n")


def _annotation(number: int, image: int, part: Part) -> bytes:
    low, high = part.outer.min(axis=0), part.outer.max(axis=0)
    return orjson.dumps(
        {
            "id": number,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "area": round(part_area(part), 2),
            "bbox": [*low.tolist(), *np.round(high - low, 2).tolist()],
            "segmentation": [keyhole(part).ravel().tolist()],
        }
    )


def _field(number: int) -> tuple[NDArray[np.uint8], list[Part]]:
    """Return one image and what is on it."""
    random = np.random.default_rng((_SEED, number))
    noise = random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    grain = cv2.GaussianBlur(noise, (0, 0), 2.0)
    picture = np.asarray(cv2.convertScaleAbs(grain, alpha=0.35, beta=-20), np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3.0)
    texture = np.asarray(cv2.convertScaleAbs(blurred, alpha=2.2, beta=-130), np.uint8)
    parts = []
    for place in random.permutation(len(_PLACES))[: int(random.integers(2, len(_PLACES) + 1))].tolist():
        center = np.array(_PLACES[place]) * SIDE + random.uniform(-14, 14, 2)
        radius = float(random.uniform(62, 98))
        outer = _blob(random, center, radius)
        holes: tuple[Ring, ...] = ()
        if random.random() < 0.4:  # noqa: PLR2004 - two of five have a core
            holes = (_blob(random, center + random.uniform(-6, 6, 2), radius * random.uniform(0.25, 0.4))[::-1],)
        part = Part(outer=outer, holes=holes)
        _paint(picture, texture, part, int(random.integers(110, 190)))
        parts.append(part)
    return np.asarray(cv2.add(picture, noise // 24), np.uint8), parts


def _blob(random: np.random.Generator, center: NDArray[np.float64], radius: float) -> Ring:
    """Return a smooth, wavy outline around the centre, to a tenth of a pixel."""
    angle = np.arange(_OUTLINE_POINTS) * (2 * np.pi / _OUTLINE_POINTS)
    wave = np.zeros(_OUTLINE_POINTS)
    for order in range(2, 6):
        wave += random.uniform(-0.05, 0.05) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    reach = radius * (1 + wave)
    # Rounded, so that the last bits of a platform's cosine do not matter.
    ring: Ring = np.round(center + reach[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), 1)
    return ring


def _paint(picture: NDArray[np.uint8], texture: NDArray[np.uint8], part: Part, brightness: int) -> None:
    """Light up the part with soft edges and a mottled surface, in place."""
    low = np.maximum(part.outer.min(axis=0).astype(int) - 12, 0).tolist()
    high = np.minimum(part.outer.max(axis=0).astype(int) + 13, SIDE).tolist()
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    rings = [np.round((ring - low - 0.5) * 16).astype(np.int32) for ring in (part.outer, *part.holes)]
    cv2.fillPoly(mask, rings, brightness, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (0, 0), 2.2)
    mottled = cv2.multiply(soft, cv2.convertScaleAbs(texture[window], alpha=1, beta=96), scale=1 / 190)
    picture[window] = cv2.add(picture[window], mottled)
