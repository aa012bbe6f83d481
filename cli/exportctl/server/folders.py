"""A quick look at a folder of images: how many there are, without opening any."""

import os
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


def count_images(folder: Path) -> int:
    """Count the files named like images, in folders within the folder too; 0 if it cannot be read."""
    return sum(
        Path(name).suffix.lower() in IMAGE_SUFFIXES
        for _, folders, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )
