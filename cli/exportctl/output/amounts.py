"""Sizes, rates and times in the few words a person reads at a glance. Sizes are SI: 1 kB is 1,000 bytes."""

from exportctl.model.words import decimal

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_MINUTE = 60
_HOUR = 3600
_LONGEST = 100 * _HOUR
_BEYOND = 100_000 * _HOUR


def size(count: float) -> str:
    """Return bytes with three significant digits: `482 kB`."""
    power, digits = _scale(count)
    return decimal(f"{count / 1000**power:.{digits}f} {_UNITS[power]}")


def size_of(count: float, total: float) -> str:
    """Return a part and its whole in the unit of the whole, so that the text keeps its shape: `1.2/48.2 MB`."""
    power, digits = _scale(total)
    return decimal(f"{count / 1000**power:.{digits}f}/{total / 1000**power:.{digits}f} {_UNITS[power]}")


def rate(per_second: float) -> str:
    """Return bytes a second: `5.02 MB/s`."""
    return f"{size(per_second)}/s"


def _scale(count: float) -> tuple[int, int]:
    """Return the power of 1,000 and the decimals that show `count` with three significant digits."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:  # noqa: PLR2004 - what would round to 1000
        count /= 1000
        power += 1
    if power == 0 or count >= 99.95:  # noqa: PLR2004 - what rounds to three digits before the point
        return power, 0
    return power, 1 if count >= 9.995 else 2  # noqa: PLR2004 - what rounds to two of them


def clock(seconds: float) -> str:
    """Return a time still to go: `0:12`, `12:34`, `1:02:03`, `>99 h`."""
    if seconds >= _LONGEST:
        return ">99 h"
    minutes, rest = divmod(int(max(seconds, 0)), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """Return a time that passed: `3.2 s`, `2 min 5 s`, `1 h 2 min`, `>99999 h`."""
    if round(seconds, 1) < _MINUTE:
        return decimal(f"{seconds:.1f} s")
    if seconds >= _BEYOND:
        return f">{_BEYOND // _HOUR - 1} h"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
