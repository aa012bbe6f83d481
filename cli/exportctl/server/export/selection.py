"""Which images of a folder an export is of. Cheap: asked before an export begins, so that a wrong request is refused.

No message names the folder's place on the server's disk.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from exportctl.server.export.errors import ProjectError
from exportctl.server.export.folder import Listing, list_folder
from exportctl.server.export.limits import Limits
from exportctl.server.export.names import composed, spelled
from exportctl.server.export.remarks import printable, some_names


def check_selection(
    folder: str, selected: Sequence[str], limits: Limits, images_of: Callable[[str], Sequence[str]]
) -> None:
    """Raise ProjectError where there is nothing to export, not what was selected, or more than is allowed.

    `images_of` lists a folder's images, or raises OSError.
    """
    with _told():
        images = images_of(folder)
    check_amount(folder, selected_images(_some(images), selected), limits)


def open_folder(folder: str) -> Listing:
    """List a project's folder; raises ProjectError where it cannot be read or holds no image."""
    with _told():
        listing = list_folder(folder)
    _some(listing.images)
    return listing


@contextmanager
def _told() -> Iterator[None]:
    """Say in words why a folder cannot be read."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(
            "PROJECT_NOT_FOUND",
            "the project's folder is no longer there",
            "see whether it was moved or renamed, or its disk is not mounted",
        ) from error
    except OSError as error:
        raise ProjectError(
            "PROJECT_UNREADABLE",
            f"the project's folder cannot be read ({error.strerror or 'input error'})",
            "check its permissions",
        ) from error


def _some(images: Sequence[str]) -> Sequence[str]:
    if not images:
        raise ProjectError(
            "PROJECT_EMPTY",
            "there is no image in the folder",
            "put PNG, JPEG, TIFF or BMP files into it, or into folders within it",
        )
    return images


def selected_images(images: Sequence[str], selected: Sequence[str]) -> Sequence[str]:
    """Return the images that were selected, all where none was; raises ProjectError for one that is not there."""
    if not selected:
        return images
    known = {composed(spelled(path)): path for path in images}
    unknown = [name for name in selected if composed(name) not in known]
    if unknown:
        raise ProjectError(
            "IMAGE_NOT_FOUND",
            f"no such image in the project: {some_names(map(printable, unknown), len(unknown))}",
            "name images by their path relative to the project's folder",
        )
    wanted = {known[composed(name)] for name in selected}
    return [path for path in images if path in wanted]


def check_amount(folder: str, images: Sequence[str], limits: Limits) -> None:
    """Raise ProjectError where these images of the folder are too many, or too large together."""
    if len(images) > limits.images:
        raise ProjectError(
            "PROJECT_TOO_LARGE",
            f"the export would have {len(images)} images, and this server takes {limits.images} at most",
            "select fewer images",
        )
    if limits.total_bytes is None:
        return
    total = sum(_size(os.path.join(folder, path)) for path in images)  # noqa: PTH118 - a path that need not be UTF-8
    if total > limits.total_bytes:
        raise ProjectError(
            "PROJECT_TOO_LARGE",
            f"the images have {total} bytes together, and this server takes {limits.total_bytes} at most",
            "select fewer images",
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - beside os.path.join
    except OSError:
        return 0
