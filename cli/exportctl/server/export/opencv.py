"""OpenCV as the workers use it: one thread, no word on standard error, pictures of up to 2^31 pixels.

Import `cv2` from here only, and preload this module rather than `cv2`: the pixel limit is read from the environment
when OpenCV is loaded, so the variables are set before; its own default ends at 2^30 pixels. The pool gives the
parallelism, hence one thread.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

PIXEL_LIMIT = 2**31 - 1
"""Pixels of the largest image that is drawn; a larger one is exported without an overlay."""

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(PIXEL_LIMIT)
os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(2**30)
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2  # noqa: E402 - only now, see above

cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# tifffile reports oddities of a file through logging, which would print them; what matters is said in our own warnings.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
logging.getLogger("tifffile").propagate = False

__all__ = ["PIXEL_LIMIT", "cv2", "overheard"]


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Catch what libjpeg, libpng and OpenCV's log print on standard error; the list is filled at the end.

    There, and nowhere else, it is said that a picture was only partly decoded; what libtiff says is in the log. A
    worker runs one task at a time, so the descriptor can be lent.
    """
    lines: list[str] = []
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    with tempfile.TemporaryFile() as paper:
        sys.stderr.flush()
        saved = os.dup(2)
        try:
            os.dup2(paper.fileno(), 2)
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            cv2.utils.logging.setLogLevel(level)
            paper.seek(0)
            lines += paper.read(65536).decode("utf-8", "replace").splitlines()
