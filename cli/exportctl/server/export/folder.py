"""A folder seen as a project: which files are its images, and which may hold polygons.

The walk is in the order of names, the same every time. Hidden files are skipped, as is everything that is no regular
file; symbolic links to folders, and those that lead outside, are not followed but named. An image is told by its
extension here and by its content later.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from exportctl.server.export.headers import EXTENSIONS


@dataclass(slots=True)
class Listing:
    """Paths relative to the folder, with forward slashes: images, JSON files, and `data.yaml` files.

    `folders`: those within it, all that were looked into. `outside`: symbolic links that are not followed.
    """

    images: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    class_lists: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def list_folder(folder: str) -> Listing:
    """List a project; raises OSError when the folder itself cannot be read."""
    listing = Listing()
    for path in _walk(folder, listing):
        extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a relative text, not a place
        if extension in EXTENSIONS:
            listing.images.append(path)
        elif extension == ".json":
            listing.documents.append(path)
        elif path.rsplit("/", maxsplit=1)[-1].lower() in {"data.yaml", "data.yml", "dataset.yaml"}:
            listing.class_lists.append(path)
    return listing


def _walk(folder: str, listing: Listing) -> Iterator[str]:
    root = os.path.realpath(folder)
    # A stack, not recursion: folders may be nested deeper than Python's stack.
    stack: list[tuple[str, Iterator[os.DirEntry[str]]]] = [("", iter(_entries(folder)))]
    while stack:
        above, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        relative = above + entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                listing.folders.append(relative)
                stack.append((f"{relative}/", iter(_entries(entry.path))))
            elif entry.is_symlink():
                target = os.path.realpath(entry.path)
                mode = os.stat(target).st_mode  # noqa: PTH116 - beside os.path.realpath
                if not is_within(root, target) or stat.S_ISDIR(mode):
                    listing.outside.append(relative)
                elif stat.S_ISREG(mode):
                    yield relative
            elif entry.is_file(follow_symlinks=False):
                yield relative
        except OSError:
            listing.unreadable.append(relative)


def is_within(root: str, target: str) -> bool:
    """Say whether a place lies in a folder; both are real paths."""
    return os.path.commonpath([root, target]) == root


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
