"""For developers: the catalogs of the languages, compiled by Babel, which no command imports.

The texts are those that the code marks: `said`, `marked`, `counted`. A test holds every catalog against them.
"""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import exportctl
from exportctl.model.words import LANGUAGES
from exportctl.output.speaking import CATALOGS

MARKS: Final = {"said": None, "marked": None, "counted": (1, 2)}
"""The functions that mark a text, and which of their arguments it is."""


_NEVER: Final = datetime(2000, 1, 1, tzinfo=UTC)


def extracted() -> list[str | tuple[str, str]]:
    """Return the texts of the code, each once, singular and plural as a pair, in the order of the alphabet."""
    found = extract_from_dir(Path(exportctl.__file__).parent, [("**.py", "python")], keywords=MARKS)
    texts = {message if isinstance(message, str) else (message[0], message[1]) for _, _, message, _, _ in found}
    return sorted(texts, key=str)


def catalog(language: str) -> Catalog:
    """Return a language's catalog as it was written."""
    with source(language).open("rb") as file:
        found = read_po(file, locale=language)
    found.creation_date = found.revision_date = _NEVER  # else it would be the moment at which it is read
    return found


def source(language: str) -> Path:
    """Return where a language's catalog is written."""
    return CATALOGS / language / "LC_MESSAGES" / "exportctl.po"


def compiled() -> dict[Path, bytes]:
    """Return the compiled catalogs by their paths."""
    files = {}
    for language in LANGUAGES[1:]:
        out = io.BytesIO()
        write_mo(out, catalog(language))
        files[source(language).with_suffix(".mo")] = out.getvalue()
    return files
