"""When to draw and when to write: pure functions of times in monotonic seconds."""

DRAW_INTERVAL = 0.1
IDLE_INTERVAL = 1.0
WRITE_GAP = 2.0
WRITE_INTERVAL = 30.0


def should_draw(now: float, last_drawn: float | None, *, has_changed: bool, interval: float = DRAW_INTERVAL) -> bool:
    """Return whether the bars are due: ten times a second while lines come, else once, for what is counted down."""
    if last_drawn is None:
        return True
    return now - last_drawn >= (interval if has_changed else max(interval, IDLE_INTERVAL))


def may_write(now: float, last_written: float | None) -> bool:
    """Return whether a plain line that can wait may be written: never more than one in two seconds."""
    return last_written is None or now - last_written >= WRITE_GAP


def should_write(now: float, last_written: float) -> bool:
    """Return whether a plain line is due although nothing new began: one every thirty seconds."""
    return now - last_written >= WRITE_INTERVAL
