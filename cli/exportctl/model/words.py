"""What is said to people, in their language: the text of templates and of the bars. Errors, hints and NDJSON are not.

The words in the code are English, and the keys of gettext's catalogs (`output/languages/`). The language is the
process's, as a locale is: `speak` is called once, where a command begins, before anything is said.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

LANGUAGES: Final = ("en", "cs", "de", "es", "fr", "zh")
_COMMA: Final = frozenset({"cs", "de", "es", "fr"})
"""Languages whose decimals stand behind a comma."""


class Catalog(Protocol):
    """What a language says for an English text."""

    def gettext(self, message: str) -> str:
        """Return the text."""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for a number of things."""


class _English:
    """The words as they stand in the code."""

    def gettext(self, message: str) -> str:
        """Return the text."""
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for a number of things."""
        return msgid1 if n == 1 else msgid2


def marked(text: str) -> str:
    """Return the text itself: it is said later, and the catalogs hold it."""
    return text


TEMPLATES: Final = {
    "export.stage.images": marked("Copying original images"),
    "export.stage.visualizations": marked("Generating visualizations"),
    "export.stage.annotations": marked("Creating annotation files"),
    "export.stage.metrics": marked("Calculating metrics"),
    "export.stage.compression": marked("Compressing archive"),
    "export.phase.processing": marked("Processing"),
    "export.phase.downloading": marked("Downloading"),
    "export.status.started": marked("Export started"),
    "export.status.completed": marked("Export completed"),
    "export.status.failed": marked("Export failed"),
    "export.status.cancelling": marked("Cancelling"),
    "export.status.cancelled": marked("Export cancelled"),
    "export.status.reconnecting": marked("Reconnecting"),
    "export.status.polling": marked("Asking by polling"),
}
"""The text of each template of protocol 2 (`WIRE.md`, Templates) without its counts, which stand beside it."""
_STAGE: Final = "export.stage."
_spoken: list[tuple[str, Catalog]] = [("en", _English())]


def speak(language: str, catalog: Catalog | None = None) -> None:
    """Say everything in this language from now on; without a catalog it is English."""
    _spoken[0] = (language, _English()) if catalog is None else (language, catalog)


def spoken() -> str:
    """Return the language."""
    return _spoken[0][0]


def said(text: str, **values: object) -> str:
    """Return the text in the language, its `{names}` filled in."""
    found = _spoken[0][1].gettext(text)
    return found.format(**values) if values else found


def counted(one: str, many: str, count: int) -> str:
    """Return the form of the text that the language has for a number of things, `{count}` filled in."""
    return _spoken[0][1].ngettext(one, many, count).format(count=count)


def decimal(text: str) -> str:
    """Return a number as the language writes it."""
    return text.replace(".", ",") if spoken() in _COMMA else text


def of_template(template: str | None, data: Mapping[str, object] | None) -> str | None:
    """Return what a template says, without its counts; None for an unknown one, or where its data is missing."""
    text = TEMPLATES.get(template or "")
    if text is None:
        return None
    if template is not None and template.startswith(_STAGE):
        needed = (data or {}).get("current"), (data or {}).get("total")
        if not all(type(value) is int for value in needed):
            return None
    return said(text)


def language_of(option: str | None, variable: Callable[[str], str | None]) -> str | None:
    """Return the language that is asked for: the option, else the first of the variables that is set.

    None for an option that names none of ours; a variable that names another one means English, as for any program.
    """
    for place, word in enumerate((option, *map(variable, ("EXPORTCTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")))):
        if word:
            tag = word.replace("-", "_").partition("_")[0].partition(".")[0].partition("@")[0].lower()
            known = tag if tag in LANGUAGES else None
            is_english = tag in {"c", "posix"} or place
            return known or ("en" if is_english else None)
    return "en"
