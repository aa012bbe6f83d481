"""A row laid out for a width: text before the bar, cells of the bar, text behind it. Pure.

What is drawn depends on the row and the width alone, so the drawing after a resize is right without knowing of it. The
bar's length depends on the width alone, so it does not jump while the words behind it change. Where there is too little
room the words of the highest rank go first, then the bar, and at last the text is cut.
"""

from dataclasses import dataclass

from exportctl.model.words import said
from exportctl.output.rows import Row, Words
from exportctl.output.safe import (
    ELLIPSIS,
    ELLIPSIS_ASCII,
    isolated,
    shorten,
    shorten_middle,
    visible,
    width,
    width_at_most,
)

_LABEL_COLUMNS = 11
_BAR_LEAST = 3
_BAR_MOST = 40
_BAR_SHARE = 5
_GAP = "  "
_ERASE_TO_END_OF_LINE = "\x1b[K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One drawn line: `head`, a bar of `cells` columns, `tail`. Never wider than it was laid out for."""

    head: str
    cells: int
    tail: str


def fit(row: Row, columns: int, *, name: str = "", ascii_only: bool = False) -> Frame:
    """Return `row` laid out for `columns`; `name`, safe already, tells jobs apart where there are several."""
    ellipsis = ELLIPSIS_ASCII if ascii_only else ELLIPSIS
    label = row.label + " " * (_label_columns() - width_at_most(row.label))
    if name:
        label = f"{name} {label}"
    # Where that is too wide the padding goes first, which only sets bars under one another.
    bare = f"{name} {row.label}".strip()
    if not row.has_bar:
        text = _said(row, ascii_only=ascii_only)
        head = _first_that_fits(columns, f"{label} {text}", f"{bare} {text}".strip(), ellipsis=ellipsis)
        return Frame(head=_steady(head), cells=0, tail="")
    share = "   ?" if row.percent is None else f"{int(row.percent):>3}%"
    head = f"{label} {share}"
    frame_columns = width_at_most(head) + len("||")
    if columns < frame_columns + _BAR_LEAST:
        shares = (head, f"{bare} {share.strip()}", f"{name} {share.strip()}".strip())
        return Frame(head=_first_that_fits(columns, *shares, ellipsis=ellipsis), cells=0, tail="")
    cells = min(max(_BAR_LEAST, columns // _BAR_SHARE), _BAR_MOST, columns - frame_columns)
    words = _chosen(row.words, columns - frame_columns - cells, ascii_only=ascii_only)
    return Frame(head=f"{head}|", cells=cells, tail=_steady(f"| {_GAP.join(words)}" if words else "|"))


def _first_that_fits(columns: int, *texts: str, ellipsis: str) -> str:
    """Return the first of the texts that has room, the last one cut where none has."""
    found = next((text for text in texts if width_at_most(text) <= columns), texts[-1])
    return shorten(found, columns, ellipsis=ellipsis)


def _label_columns() -> int:
    """Return the room of both labels, so that the bars begin at the same place."""
    return max(_LABEL_COLUMNS, *(width_at_most(said(label)) for label in ("Processing", "Downloading")))


def _chosen(words: tuple[Words, ...], room: int, *, ascii_only: bool) -> list[str]:
    """Return the words that have room, the lowest rank first served, in their own order."""
    ellipsis = ELLIPSIS_ASCII if ascii_only else ELLIPSIS
    chosen: dict[int, str] = {}
    for index, piece in sorted(enumerate(words), key=lambda entry: entry[1].rank):
        left = room - len(_GAP if chosen else " ")
        text = visible(piece.text, ascii_only=ascii_only)
        marks = width_at_most(isolated(text)) - width_at_most(text)
        if width_at_most(text) + marks > left:
            if piece.least is None or left - marks < piece.least:
                continue
            cut = shorten_middle if piece.is_file else shorten
            text = cut(text, left - marks, ellipsis=ellipsis)
        text = isolated(text)
        chosen[index] = text
        room = left - width_at_most(text)
    return [chosen[index] for index in sorted(chosen)]


def _said(row: Row, *, ascii_only: bool) -> str:
    return _GAP.join(isolated(visible(piece.text, ascii_only=ascii_only)) for piece in row.words)


def _steady(text: str) -> str:
    """Return `text` with the rest of its row erased where marks make it shorter than tqdm, which pads, believes."""
    return text if width(text) == width_at_most(text) else text + _ERASE_TO_END_OF_LINE
