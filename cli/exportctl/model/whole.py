"""How long a job and its download still take together, while the archive is read as it is made. Pure."""

from typing import Final

_ABREAST: Final = 2.0
"""Seconds of reading: who is no farther behind keeps up, and reads as fast as the archive grows."""
_EARLY: Final = 20.0
"""Times as long as so far: what grew in so short a beginning says nothing of the whole."""


def whole_left(
    *, processing: float | None, elapsed: float, written: int | None, fetched: int, rate: float | None
) -> float | None:
    """Return the seconds until all bytes are here; None while the processing has no end in sight.

    `processing` are the seconds it still takes, `elapsed` those since it began; `written` bytes are in the archive so
    far, `fetched` of them here, at `rate` bytes a second. Who falls behind is taken to go on at his rate, towards an
    archive that grows as it did.
    """
    if processing is None:
        return None
    if written is None or not rate or elapsed <= 0:
        return processing
    behind = max(written - fetched, 0) / rate
    if behind <= _ABREAST or processing > _EARLY * elapsed:
        return processing + behind
    whole = written * (1 + processing / elapsed)
    return max(processing, (whole - fetched) / rate)
