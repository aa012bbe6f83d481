"""What a misspelt word was meant to be. Pure."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of the known words that is most like this one; None where none is like it."""
    from difflib import get_close_matches  # noqa: PLC0415 - for refusals only, and most commands have none

    return next(iter(get_close_matches(word, list(known), n=1)), None)
