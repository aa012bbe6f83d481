"""Tasks that test_pool hands to real worker processes."""

import os
import signal
import time
from pathlib import Path


def square(number):
    return number * number


def own_pid():
    return os.getpid()


def fail(words):
    raise ValueError(words)


def mark_and_wait_for(mark, until):
    """Say that it began, then work on until a file appears, a minute at most."""
    Path(mark).touch()
    for _ in range(6000):
        if Path(until).exists():
            return "finished"
        time.sleep(0.01)
    return "gave up"


def append_line(path, line):
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
    return line


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark):
    """Die at the first call, return at the second."""
    if Path(mark).exists():
        return "second time"
    Path(mark).touch()
    return die()
