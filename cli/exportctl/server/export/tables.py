"""Tables of the metrics: rows laid aside slice by slice, then read in order into Excel, CSV or JSON.

A row is one part of one annotation. Rows wait as JSON lines, one line an image, so that images without polygons are
seen too. Every writer streams: Excel through XlsxWriter's constant memory, further sheets behind the last row that
Excel can have. Texts that a spreadsheet would take for a formula stay texts: as such in Excel, behind an apostrophe
in CSV (OWASP).
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import TextIOWrapper
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, TextIO

import orjson
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from exportctl.server.export.aside import aside
from exportctl.server.export.metrics import MEASURES, measure
from exportctl.server.export.outcome import LAST_LINE
from exportctl.server.export.planfile import read_categories, read_images
from exportctl.server.export.remarks import printable

Cell = str | int | float | None

EXCEL_ROWS = 1_048_576
_EXCEL_TEXT = 32_767
_LABELS = ("Image", "Annotation", "Number", "Part", "Category")
_JSON_KEYS = ("image", "annotationId", "number", "part", "category")
# Where a measure has a unit, {u} is it.
_TITLES = {
    "area": "Area ({u}²)",
    "perimeter": "Perimeter ({u})",
    "equivalent_diameter": "Equivalent diameter ({u})",
    "circularity": "Circularity",
    "feret_max": "Feret diameter max ({u})",
    "feret_min": "Feret diameter min ({u})",
    "feret_orthogonal": "Feret diameter orthogonal to max ({u})",
    "feret_aspect_ratio": "Feret aspect ratio",
    "extent": "Extent",
    "convexity": "Convexity",
    "solidity": "Solidity",
    "width": "Bounding box width ({u})",
    "height": "Bounding box height ({u})",
}
_values = attrgetter(*MEASURES)
_FORMULA = re.compile(r"[=+\-@\t\r]")


def unit(scale: float | None) -> str:
    """Return the unit of lengths."""
    return "px" if scale is None else "µm"


def header(scale: float | None) -> list[str]:
    """Return the titles of the columns, units in them."""
    return [*_LABELS, *(_TITLES[name].format(u=unit(scale)) for name in MEASURES)]


def spool_rows(plan_file: str, start: int, stop: int, scale: float | None, path: str) -> str:
    """Measure the images start..stop-1 into the file; return the title of the last one."""
    categories = read_categories(plan_file)
    title = ""
    with aside(path) as new, new.open("wb") as target:
        for image in read_images(plan_file, start, stop):
            title = image.title
            parts = [part for annotation in image.annotations for part in annotation.parts]
            measures = iter(measure(parts, scale))
            rows = [
                [image.first + at, at + 1, number, categories[annotation.category], *_values(next(measures))]
                for at, annotation in enumerate(image.annotations)
                for number in range(1, len(annotation.parts) + 1)
            ]
            target.write(orjson.dumps([image.original, rows], option=orjson.OPT_APPEND_NEWLINE))
        target.write(LAST_LINE)
    return title


def read_rows(paths: Sequence[str]) -> Iterator[tuple[str, list[list[Cell]]]]:
    """Read back each image's name and rows."""
    for path in paths:
        with Path(path).open("rb") as lines:
            for line in takewhile(LAST_LINE.__ne__, lines):
                name, rows = orjson.loads(line)
                yield name, [[name, *row] for row in rows]


def write_csv(rows: Iterator[tuple[str, list[list[Cell]]]], scale: float | None, file: BinaryIO) -> None:
    """Write metrics.csv: UTF-8, comma, empty where there is no value."""
    with _text(file) as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(header(scale))
        for _, lines in rows:
            writer.writerows([_unformulated(value) for value in row] for row in lines)


def write_json(rows: Iterator[tuple[str, list[list[Cell]]]], scale: float | None, file: BinaryIO) -> None:
    """Write metrics.json: the unit, the scale, and an object for each part."""
    keys = (*_JSON_KEYS, *(_camel(name) for name in MEASURES))
    with _text(file) as target:
        target.write(f'{{"unit":"{unit(scale)}","micrometersPerPixel":{orjson.dumps(scale).decode()},"polygons":[')
        between = "\n"
        for _, lines in rows:
            for row in lines:
                target.write(between + orjson.dumps(dict(zip(keys, row, strict=True))).decode())
                between = ",\n"
        target.write("]}\n")


def write_excel(
    rows: Iterator[tuple[str, list[list[Cell]]]], scale: float | None, path: str, limit: int = EXCEL_ROWS
) -> None:
    """Write metrics.xlsx: the sheet Metrics (with further ones beyond `limit` rows each), and a Summary by image."""
    options = {"constant_memory": True, "tmpdir": str(Path(path).parent), "nan_inf_to_errors": False}
    with aside(path) as new, _no_error_of_its_own(), xlsxwriter.Workbook(str(new), options) as book:
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        titles = header(scale)

        def sheet(name: str, columns: Sequence[str]) -> xlsxwriter.worksheet.Worksheet:
            made = book.add_worksheet(name)
            made.freeze_panes(1, 0)
            made.set_column(0, 0, 32)
            made.set_column(1, len(columns) - 1, 14)
            for column, title in enumerate(columns):
                made.write_string(0, column, title, bold)
            return made

        current, at, sheets = sheet("Metrics", titles), 1, 1
        summary = sheet("Summary", ("Image", "Polygons", f"Mean area ({unit(scale)}²)", f"Total area ({unit(scale)}²)"))
        for number, (name, lines) in enumerate(rows, 1):
            for row in lines:
                if at == limit:
                    sheets += 1
                    current, at = sheet(f"Metrics {sheets}", titles), 1
                _write_row(current, at, row)
                at += 1
            if number < EXCEL_ROWS:
                area = MEASURES.index("area") + len(_LABELS)
                total = math.fsum(value for row in lines if isinstance(value := row[area], int | float))
                _write_row(summary, number, [name, len(lines), total / len(lines) if lines else None, total])


@contextmanager
def _no_error_of_its_own() -> Iterator[None]:
    """Let a full disk be the OSError that it is everywhere else."""
    try:
        yield
    except FileCreateError as error:
        raise error.args[0] from error


def _write_row(sheet: "xlsxwriter.worksheet.Worksheet", at: int, row: Sequence[Cell]) -> None:
    for column, value in enumerate(row):
        if isinstance(value, str):
            sheet.write_string(at, column, _excel_text(value))
        elif value is not None:
            sheet.write_number(at, column, value)


@lru_cache(maxsize=64)  # an image and a category have many rows
def _excel_text(text: str) -> str:
    return printable(text)[:_EXCEL_TEXT]


def _unformulated(value: Cell) -> Cell:
    return "'" + value if isinstance(value, str) and _FORMULA.match(value) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@contextmanager
def _text(file: BinaryIO) -> Iterator[TextIO]:
    target = TextIOWrapper(file, encoding="utf-8", newline="")
    yield target
    # Flushed, and let go of: it would close the file.
    target.detach()
