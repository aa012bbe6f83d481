"""Coordinate lists of a file turned into rings, or refused."""

import numpy as np

from exportctl.server.export.shapes import Ring

_PAIR = 2


def flat_ring(values: object) -> Ring | None:
    """Read [x, y, x, y, ...]; None when it is not that. Nulls and texts are refused, not taken for zero."""
    if not isinstance(values, list) or len(values) % _PAIR or not values:
        return None
    array = _numbers(values)
    return None if array is None or array.ndim != 1 else array.reshape(-1, _PAIR)


def paired_ring(values: object) -> Ring | None:
    """Read [[x, y], [x, y], ...]; None when it is not that."""
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(pair, list) and len(pair) == _PAIR for pair in values):
        return None
    return flat_ring([value for pair in values for value in pair])


def _numbers(values: list[object]) -> Ring | None:
    # A boolean is an integer to Python and to numpy, but no coordinate.
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        return np.array(values, dtype=np.float64)
    except (OverflowError, ValueError):
        # An integer too long for a float is as good as infinite, and is refused as such later.
        return np.full(len(values), np.inf)
