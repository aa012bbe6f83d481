"""A table for people on standard output: columns aligned by what a terminal shows, text of others made safe.

In a terminal it is made to fit, the widest columns giving way; in a pipe nothing is ever cut.
"""

from collections.abc import Collection, Sequence

from exportctl.output.safe import isolated, shorten_middle, visible, width

_GAP = "  "
_LEAST = 8


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    columns: int | None = None,
    numbers: Collection[str] = (),
) -> list[str]:
    """Return the table's lines, the headings first.

    `columns` is the width to fit, None for no limit (a pipe); columns whose heading is in `numbers` are set right.
    """
    cells = [[visible(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(width(row[index]) for row in cells) for index in range(len(headings))]
    if columns is not None:
        widths = _narrowed(widths, columns - len(_GAP) * (len(headings) - 1))
    return [
        _GAP.join(
            _cell(cell, room, to_the_right=heading in numbers, is_shown=columns is not None)
            for cell, room, heading in zip(row, widths, headings, strict=True)
        ).rstrip()
        for row in cells
    ]


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths with the widest shortened, one column at a time, until they fit or none can give any more."""
    narrowed = list(widths)
    while sum(narrowed) > room and max(narrowed) > _LEAST:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def _cell(text: str, room: int, *, to_the_right: bool, is_shown: bool) -> str:
    shown = isolated(text if width(text) <= room else shorten_middle(text, room)) if is_shown else text
    padding = " " * (room - width(shown))
    return padding + shown if to_the_right else shown + padding
