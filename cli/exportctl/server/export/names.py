"""Names within the archive: no two alike on any system.

Originals keep their relative path. Overlays and labels are named by the image's stem; where two images of a folder
share a stem (compared as macOS and Windows do, case folded and composed), both get their extension into the name:
`a.png` and `a.jpg` become `a_png` and `a_jpg`, and a number follows if even that is taken.
"""

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_TURNING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_UNSAVED = re.compile(r'[/\\:*?"<>|]+')
_LONGEST_STEM = 200
"""Bytes: a name has 255."""
# What ZIP readers take for a separator or a control, and bytes that are not UTF-8.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def folded(path: str) -> str:
    """Return the form in which two names that a file system may hold to be one are equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def composed(path: str) -> str:
    """Return the NFC form: macOS lists names decomposed, annotation files have them as they were typed."""
    return unicodedata.normalize("NFC", path)


def spelled(path: str) -> str:
    r"""Return how a path is called on the wire: as it is, each byte that is not UTF-8 as `\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def archive_path(path: str) -> str:
    """Make a relative path safe as the name of an archive entry; most paths are left as they are."""
    return _UNSAFE.sub("_", path)


def saved_as(text: str) -> str:
    """Return what of a text may be the stem of a file's name everywhere; '' for nothing."""
    return shortened(_UNSAVED.sub("_", unturned(text, "_")))


def unturned(text: str, mark: str) -> str:
    """Put a mark for controls, and for what turns the direction of others: a name would seem to end otherwise."""
    return _TURNING.sub(mark, text)


def shortened(stem: str) -> str:
    """Return as much of a file's stem as any system takes with an ending, no dot or blank at its ends."""
    return stem.strip(" .").encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore").rstrip(" .")


def entry_names(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the entry names of the originals, and the stems (with folder) of what is derived from them."""
    safe = [archive_path(path) for path in paths]
    originals = _distinct(safe, extensions=True)
    stems = [posixpath.splitext(path)[0] for path in safe]
    clashes = Counter(map(folded, stems))
    wanted = []
    for path, stem in zip(safe, stems, strict=True):
        extension = posixpath.splitext(path)[1][1:]
        wanted.append(f"{stem}_{extension}" if clashes[folded(stem)] > 1 and extension else stem)
    return originals, _distinct(wanted, extensions=False)


def _distinct(wanted: Sequence[str], *, extensions: bool) -> list[str]:
    """Put a number behind each name that is taken; names that are wanted once go first."""
    counts = Counter(map(folded, wanted))
    taken = {folded(name) for name in wanted if counts[folded(name)] == 1}
    result = []
    for name in wanted:
        chosen, number = name, 1
        if counts[folded(name)] > 1:
            base, extension = posixpath.splitext(name) if extensions else (name, "")
            while folded(chosen) in taken:
                number += 1
                chosen = f"{base}_{number}{extension}"
            taken.add(folded(chosen))
        result.append(chosen)
    return result
