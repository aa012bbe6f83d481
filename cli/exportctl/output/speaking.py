"""The catalogs of the languages, gettext's: kept as `.po`, shipped compiled. English reads none and imports nothing."""

from pathlib import Path
from typing import Final

from exportctl.model import words

CATALOGS: Final = Path(__file__).parent / "languages"


def speak(language: str) -> None:
    """Say everything in this language, one of `words.LANGUAGES`, from now on."""
    if language == "en":
        words.speak("en")
        return
    import gettext  # noqa: PLC0415 - for those who read another language than English

    words.speak(language, gettext.translation("exportctl", CATALOGS, [language]))
