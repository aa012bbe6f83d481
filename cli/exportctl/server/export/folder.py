"""A folder seen as a project: which files are its images, and which may hold polygons.

The walk is in the order of names, the same every time. Hidden files are skipped, as is everything that is no regular
file; symbolic links to folders, and those that lead outside, are not followed but named. An image is told by its
extension here and by its content later.
"""

import enum
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from exportctl.server.export.headers import EXTENSIONS
from exportctl.server.export.opening import HeldFolder, is_within


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


class _Kind(enum.Enum):
    FOLDER = enum.auto()
    LINK = enum.auto()
    FILE = enum.auto()
    OTHER = enum.auto()
    UNKNOWN = enum.auto()


def list_folder(folder: str) -> Listing:
    """List a project; raises OSError when the folder itself cannot be read."""
    listing = Listing()
    with HeldFolder(folder) as held:
        for path in _walk(held, os.path.realpath(folder), listing):
            extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a relative text, not a place
            if extension in EXTENSIONS:
                listing.images.append(path)
            elif extension == ".json":
                listing.documents.append(path)
            elif path.rsplit("/", maxsplit=1)[-1].lower() in {"data.yaml", "data.yml", "dataset.yaml"}:
                listing.class_lists.append(path)
    return listing


def _walk(held: HeldFolder, root: str, listing: Listing) -> Iterator[str]:
    # A stack, not recursion: folders may be nested deeper than Python's stack.
    stack = [("", iter(_entries(held, "")))]
    while stack:
        above, entries = stack[-1]
        name, kind = next(entries, ("", None))
        if kind is None:
            stack.pop()
            continue
        relative = above + name
        try:
            match kind:
                case _Kind.FOLDER:
                    listing.folders.append(relative)
                    stack.append((f"{relative}/", iter(_entries(held, relative))))
                case _Kind.LINK:
                    target = os.path.realpath(os.path.join(root, relative))  # noqa: PTH118 - a path that need not be UTF-8
                    mode = os.stat(target).st_mode  # noqa: PTH116 - beside os.path.realpath
                    if not is_within(root, target) or stat.S_ISDIR(mode):
                        listing.outside.append(relative)
                    elif stat.S_ISREG(mode):
                        yield relative
                case _Kind.FILE:
                    yield relative
                case _Kind.UNKNOWN:
                    listing.unreadable.append(relative)
        except OSError:
            listing.unreadable.append(relative)


def _entries(held: HeldFolder, path: str) -> list[tuple[str, _Kind]]:
    """Return what is in a folder by name. It is what was found there, whatever link comes in its place."""
    folder = held.open_folder(path)
    try:
        with os.scandir(folder) as found:
            return sorted((entry.name, _kind(entry)) for entry in found if not entry.name.startswith("."))
    finally:
        os.close(folder)


def _kind(entry: os.DirEntry[str]) -> _Kind:
    try:
        if entry.is_file(follow_symlinks=False):
            return _Kind.FILE
        if entry.is_dir(follow_symlinks=False):
            return _Kind.FOLDER
        return _Kind.LINK if entry.is_symlink() else _Kind.OTHER
    except OSError:
        return _Kind.UNKNOWN
