"""YOLO segmentation labels: one text file an image, a line `class x y x y ...` for each polygon, in shares of the size.

`data.yaml` names the classes. Of YAML only what YOLO writes there is read: `names:` as a list in brackets, as lines of
`- name`, or as lines of `0: name`, with or without quotes and comments.
"""

import re

import numpy as np

from exportctl.server.export.remarks import Remarks
from exportctl.server.export.shapes import Sketch

_BOX_VALUES = 5
_LEAST_VALUES = 7
_NAME_LENGTH = 200
_CLASS_LIMIT = 100_000
_ITEM_LENGTH = 1000
_COMMENT = re.compile(r"(?:^|\s)#")
_ITEM = re.compile(
    r"""\s*(?:(?P<number>\d{1,6})\s*:)?\s*(?P<name>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]*?)\s*(?:,|\Z)"""
)


def read_labels(text: str, names: dict[int, str], size: tuple[int, int], name: str, remarks: Remarks) -> list[Sketch]:
    """Read the labels of one image of the given (width, height); `name` is the file's, for remarks."""
    sketches = []
    scale = np.array(size, dtype=np.float64)
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) == _BOX_VALUES:
            remarks.count("box", name)
            continue
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            remarks.count("malformed", name)
            continue
        number = values[0]
        if len(values) % 2 == 0 or not 0 <= number < _CLASS_LIMIT or number != int(number):
            remarks.count("malformed", name)
            continue
        if len(values) < _LEAST_VALUES:
            remarks.count("few-points", name)
            continue
        category = names.get(int(number), f"class {int(number)}")
        sketches.append(Sketch(category=category, rings=(values[1:].reshape(-1, 2) * scale,)))
    return sketches


def read_names(text: str) -> dict[int, str]:
    """Read the class names of a `data.yaml`; what is not understood gives no names."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if not line.startswith("names:"):
            continue
        rest = _without_comment(line[len("names:") :]).strip()
        if rest[:1] in {"[", "{"}:
            return _inline(" ".join([rest, *map(_without_comment, lines[at + 1 :])]))
        return _block(lines[at + 1 :])
    return {}


def _inline(text: str) -> dict[int, str]:
    closing = "]" if text[0] == "[" else "}"
    names: dict[int, str] = {}
    at = 1
    while at < len(text) and len(names) < _CLASS_LIMIT:
        while at < len(text) and text[at].isspace():
            at += 1
        if text[at : at + 1] == closing:
            break
        end = at
        quote = ""
        while end < len(text) and (quote or text[end] not in f",{closing}"):
            if quote:
                quote = "" if text[end] == quote else quote
            elif text[end] in "\"'" and end - at < _ITEM_LENGTH and not text[at:end].rpartition(":")[2].strip():
                quote = text[end]
            end += 1
        item = _ITEM.match(text[at:end].strip()[:_ITEM_LENGTH])
        if item:
            names[int(item["number"]) if item["number"] else len(names)] = _unquoted(item["name"])
        if end < len(text) and text[end] == closing:
            break
        at = end + 1
    return names


def _block(lines: list[str]) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in lines:
        text = _without_comment(line).strip()
        if not text:
            continue
        if text.startswith("-"):
            names[len(names)] = _unquoted(text[1:].strip())
            continue
        number, colon, name = text.partition(":")
        number = number.strip().strip("\"'")
        if not line[:1].isspace() or not colon or not number.isdecimal() or len(number) > len(str(_CLASS_LIMIT)):
            break
        names[int(number)] = _unquoted(name.strip())
    return names


def _unquoted(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] == "'":
        name = name[1:-1].replace("''", "'")
    elif len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name[:_NAME_LENGTH]


def _without_comment(line: str) -> str:
    # One in a quoted name is none.
    found = _COMMENT.search(line, max(line.rfind('"'), line.rfind("'")) + 1)
    return line[: found.start()] if found else line
