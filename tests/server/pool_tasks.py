"""Tasks that test_pool hands to real worker processes."""

import os
import signal
import sys
import threading
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


def die_in_half_an_answer(mark):
    """Die, at the first call, when a part of the answer is written; return a short one at the second."""
    if Path(mark).exists():
        return b"second time"
    Path(mark).touch()
    main = threading.main_thread().ident

    def kill():
        while True:
            frame = sys._current_frames()[main]
            # What writes the answer, its head being written.
            if frame.f_code.co_name == "_send" and len(frame.f_locals["buf"]) > 1 << 20:
                die()
            time.sleep(0)

    threading.Thread(target=kill, daemon=True).start()
    return bytes(64 << 20)


def read_for_ever(*_):
    """Stand in for the reading of a project that does not end."""
    while True:
        time.sleep(1)
