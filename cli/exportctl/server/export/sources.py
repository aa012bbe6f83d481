"""Where the polygons of each image come from: all polygon files of a project, matched to its images.

LabelMe beside an image goes before COCO, COCO before YOLO; of two COCO files `annotations.json` goes first, then
the order of names. COCO files are read when the project is opened, LabelMe and YOLO when their image's turn comes,
so that memory holds one image of theirs. File names match whatever their Unicode form; a COCO file_name is looked
for beside its file, from the project's root, in an `images` folder of both, and at last by its bare name where only
one image has it.
"""

import errno
import os
import posixpath
from dataclasses import dataclass, field

from exportctl.server.export.folder import Listing
from exportctl.server.export.headers import Header
from exportctl.server.export.names import composed
from exportctl.server.export.opening import HeldFolder
from exportctl.server.export.reading.coco import CocoFile, is_coco, read_coco
from exportctl.server.export.reading.jsonfile import JsonFileError, read_json
from exportctl.server.export.reading.labelme import image_name, is_labelme, read_labelme
from exportctl.server.export.reading.yolo import read_labels, read_names
from exportctl.server.export.remarks import Remarks, printable, some_names
from exportctl.server.export.shapes import Sketch

_LABELS_LIMIT = 32 << 20
_SIDE_LIMIT = 1 << 31
_CLASS_LIST_LIMIT = 4 << 20


@dataclass(slots=True)
class Sources:
    """The polygon files of a project, opened; ask `sketches` for one image after the other."""

    folder: HeldFolder
    categories: list[str] = field(default_factory=list)
    coco: dict[str, list[tuple[str, list[Sketch], tuple[int, int] | None]]] = field(default_factory=dict)
    labelme: dict[str, list[str]] = field(default_factory=dict)
    classes: dict[str, dict[int, str]] = field(default_factory=dict)

    def sketches(self, image: str, header: Header, title: str, remarks: Remarks) -> tuple[list[Sketch], Header]:
        """Return the annotations of one image, and its header, with the size the annotations give if it has none."""
        found: list[tuple[str, list[Sketch], tuple[int, int] | None]] = []
        for document in self.labelme.pop(image, ()):
            found += self._from_labelme(document, remarks)
        found += self.coco.pop(image, ())
        size = (header.width, header.height)
        if not all(size):
            size = next((given for _, _, given in found if given), size)
            header = Header(format=header.format, width=size[0], height=size[1], problem=header.problem)
        found += self._from_yolo(image, size, remarks)
        filled = [source for source in found if source[1]]
        if not filled:
            return [], header
        name, sketches, given = filled[0]
        if len(filled) > 1:
            others = some_names((printable(other) for other, _, _ in filled[1:]), len(filled) - 1)
            remarks.say(f"{title}: polygons are taken from {printable(name)}; those of {others} are left out")
        if given and given != size:
            remarks.say(
                f"{title}: {printable(name)} says the image has {given[0]} x {given[1]} pixels, "
                f"the file has {size[0]} x {size[1]}"
            )
        return sketches, header

    def _from_labelme(self, path: str, remarks: Remarks) -> list[tuple[str, list[Sketch], tuple[int, int] | None]]:
        try:
            document = read_json(path, self.folder.open)
        except JsonFileError as error:
            remarks.say(f"{printable(path)} {error}; its polygons are left out")
            return []
        if not isinstance(document, dict) or not is_labelme(document):
            return []
        width, height = _side(document.get("imageWidth")), _side(document.get("imageHeight"))
        given = (width, height) if width and height else None
        return [(path, read_labelme(document, printable(path), remarks), given)]

    def _from_yolo(self, image: str, size: tuple[int, int], remarks: Remarks) -> list[tuple[str, list[Sketch], None]]:
        for path in _label_paths(image):
            try:
                content = _content(self.folder, path, _LABELS_LIMIT)
                if content is None:
                    remarks.say(f"{printable(path)} is too large to be read; its polygons are left out")
                    continue
                text = content.decode("utf-8-sig")
            except FileNotFoundError:
                continue
            except UnicodeDecodeError:
                # A text beside an image need not be labels, unless there are names of classes.
                if self.classes or path != posixpath.splitext(image)[0] + ".txt":
                    remarks.say(f"{printable(path)} is damaged (it is not UTF-8 text); its polygons are left out")
                continue
            except OSError as error:
                # A file may be called `labels`.
                if error.errno != errno.ENOTDIR:
                    reason = error.strerror or "input error"
                    remarks.say(f"{printable(path)} cannot be read ({reason}); its polygons are left out")
                continue
            if not all(size):
                remarks.say(f"{printable(path)} gives shares of a size that is not known; its polygons are left out")
                continue
            return [(path, read_labels(text, self._class_names(path), size, printable(path), remarks), None)]
        return []

    def _class_names(self, path: str) -> dict[int, str]:
        """Return the names of the `data.yaml` nearest above a label file."""
        folder = posixpath.dirname(path)
        while True:
            if folder in self.classes:
                return self.classes[folder]
            if not folder:
                return next(iter(self.classes.values())) if len(self.classes) == 1 else {}
            folder = posixpath.dirname(folder)


def open_sources(folder: HeldFolder, listing: Listing, remarks: Remarks) -> Sources:
    """Read all COCO files of a project, and find out which other files belong to which image."""
    sources = Sources(folder=folder)
    index = _ImageIndex(listing.images)
    for path in listing.class_lists:
        sources.classes.setdefault(posixpath.dirname(path), _read_class_list(folder, path, remarks))
    names: dict[str, None] = {}
    for path in sorted(listing.documents, key=lambda path: (posixpath.basename(path) != "annotations.json", path)):
        try:
            document = read_json(path, folder.open)
        except JsonFileError as error:
            remarks.say(f"{printable(path)} {error}; its polygons are left out")
            continue
        if isinstance(document, dict) and is_coco(document):
            coco = read_coco(document, printable(path), remarks)
            names.update(dict.fromkeys(coco.categories))
            _match(coco, path, index, sources, remarks)
        elif isinstance(document, dict) and is_labelme(document):
            image = index.beside(path, image_name(document))
            if image is None and isinstance(named := document.get("imagePath"), str):
                image = index.find(posixpath.dirname(path), named)
            if image is None:
                remarks.say(f"{printable(path)}: its image is not in the folder; its polygons are left out")
            else:
                sources.labelme.setdefault(image, []).append(path)
        elif posixpath.basename(path) == "annotations.json" or index.beside(path, ""):
            remarks.say(f"{printable(path)} holds neither COCO nor LabelMe polygons and was not used")
    for classes in sources.classes.values():
        names.update(dict.fromkeys(classes[number] for number in sorted(classes)))
    sources.categories = list(names)
    return sources


def _match(coco: CocoFile, path: str, index: "_ImageIndex", sources: Sources, remarks: Remarks) -> None:
    missing = []
    for file_name, sketches in coco.images.items():
        image = index.find(posixpath.dirname(path), file_name)
        if image is None:
            missing.append(file_name)
        else:
            sources.coco.setdefault(image, []).append((path, sketches, coco.sizes.get(file_name)))
    if missing:
        names = some_names(map(printable, missing), len(missing))
        remarks.say(f"{printable(path)}: {len(missing)} of its images are not in the folder ({names})")
    if coco.repeats:
        remarks.say(
            f"{printable(path)}: {coco.repeats} of its images have the id of another; annotations with such an id were "
            "given to the last of them"
        )
    if coco.strays:
        remarks.say(f"{printable(path)}: {coco.strays} of its annotations belong to no image and were left out")


class _ImageIndex:
    """Finds images by path, by bare name, and by stem, whatever their Unicode form."""

    def __init__(self, images: list[str]) -> None:
        self._paths = {composed(path): path for path in images}
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in images:
            self._names.setdefault(composed(posixpath.basename(path)), []).append(path)
            self._stems.setdefault(composed(posixpath.splitext(path)[0]), []).append(path)

    def find(self, folder: str, file_name: str) -> str | None:
        """Find the image that a COCO file in `folder` calls `file_name`."""
        spelt = composed(file_name)
        name = spelt.replace("\\", "/")
        for place in dict.fromkeys((composed(folder), "", posixpath.join(composed(folder), "images"), "images")):
            # A backslash is Windows' slash, or a letter of the name.
            for spelling in dict.fromkeys((spelt, name)):
                path = self._paths.get(posixpath.normpath(posixpath.join(place, spelling)))
                if path is not None:
                    return path
        same = self._names.get(posixpath.basename(name), [])
        return same[0] if len(same) == 1 else None

    def beside(self, document: str, name: str) -> str | None:
        """Find the image of a LabelMe file: the one it names in its folder, else the one with its stem."""
        folder = posixpath.dirname(composed(document))
        stem = self._stems.get(composed(posixpath.splitext(document)[0]), [])
        named = self._paths.get(posixpath.join(folder, composed(name))) if name else None
        return named if named is not None else stem[0] if stem else None


def _side(value: object) -> int:
    """Return a size in pixels that can be one, else 0."""
    return value if type(value) is int and 0 < value < _SIDE_LIMIT else 0


def _label_paths(image: str) -> list[str]:
    """Return where YOLO labels of an image can be: an `images` folder replaced by `labels`, the last one first.

    Or beside it.
    """
    stem = posixpath.splitext(image)[0] + ".txt"
    folders = stem.split("/")
    paths = [
        "/".join([*folders[:at], "labels", *folders[at + 1 :]])
        for at in range(len(folders) - 2, -1, -1)
        if folders[at] == "images"
    ]
    paths.append(stem)
    if len(paths) == 1:
        paths.insert(0, "labels/" + stem)
    return paths


def _content(folder: HeldFolder, path: str, limit: int) -> bytes | None:
    """Return what is in a file, None where that is more than `limit` bytes; raises OSError."""
    with open(path, "rb", opener=folder.open) as file:
        if os.fstat(file.fileno()).st_size > limit:
            return None
        content = file.read(limit + 1)
    return content if len(content) <= limit else None


def _read_class_list(folder: HeldFolder, path: str, remarks: Remarks) -> dict[int, str]:
    try:
        content = _content(folder, path, _CLASS_LIST_LIMIT)
        if content is None:
            remarks.say(f"{printable(path)} is too large to be read; classes have no names")
            return {}
        names = read_names(content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        remarks.say(f"{printable(path)} cannot be read as text; classes have no names")
        return {}
    if not names:
        remarks.say(f"{printable(path)} lists no names that can be read; classes have no names")
    return names
