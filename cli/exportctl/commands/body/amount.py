"""Amounts as people write them: `500k`, `2M`, `1.5G`, `2T` in powers of 1000, `1Ki` … in powers of 1024."""

import re
from typing import Final

_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(?:([kKmMgGtT])(i?))?[bB]?", re.ASCII)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def amount_of(text: str) -> float:
    """Return the amount, 0 for what is none."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return 0.0
    return float(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[(found[2] or "").lower()])


def whole_amount(text: str | None) -> int | None:
    """Return the value of an option that was found to be an amount, None where it was not given."""
    return None if text is None else int(amount_of(text))
