"""A signal that comes before the command could look for one: while its modules are imported.

Whoever reads the lines gets the first and the last of them all the same. Written by hand, since nothing may be imported
in the middle of an import; `tests/system/test_signals_early.py` holds them to the schema. Then the signal ends the
command, as it would have.
"""

import contextlib
import os
import signal
import time
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HELLO: Final = (
    '"version":"{version}","schema":"https://exportctl.dev/schema/1/line.json","command":{command},"server":null'
)
_RESULT: Final = (
    '"outcome":"cancelled","exitCode":{status},"error":null,"file":null,"bytes":null,"sha256":null,"verified":null,'
    '"warnings":[],"seconds":{{"processing":null,"downloading":null,"total":{elapsed}}},'
    '"stats":{{"events":0,"duplicates":0,"reconnects":0,"polls":0,"resumedFrom":null}}'
)


def listen(arguments: list[str], *, version: str, ndjson: bool) -> None:
    """Let the three signals end the command until it takes them itself; `ndjson`: lines are read from it.

    An exception in their place would be a traceback, or be lost where the interpreter ignores it. What is ignored
    (nohup) stays ignored.
    """
    began = time.monotonic()

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError):  # there may be nobody to tell
            os.write(1, lines(arguments, number, version=version, elapsed=time.monotonic() - began).encode())
        os.kill(os.getpid(), number)

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end if ndjson else signal.SIG_DFL)


def no_more() -> None:
    """Let the signals end the command without a line: it tells its own now."""
    for number in _SIGNALS:
        if getattr(signal.getsignal(number), "__module__", None) == __name__:
            signal.signal(number, signal.SIG_DFL)


def lines(arguments: list[str], number: int, *, version: str, elapsed: float) -> str:
    """Return `hello` and `result` of a command that a signal ended before it began."""
    now, bits = time.time(), os.urandom(16).hex()
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
    run_id = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-8{bits[17:20]}-{bits[20:]}"
    word = next((word for word in arguments if not word.startswith("-")), "")
    command = f'"{word}"' if word.isalpha() and word.isascii() else "null"
    total = round(elapsed, 3)

    def line(seq: int, event: str, own: str) -> str:
        return (
            f'{{"v":1,"seq":{seq},"event":"{event}","timestamp":"{moment}","elapsed":{total},"jobId":null,'
            f'"projectId":null,"correlationId":"{run_id}","source":"client",{own}}}\n'
        )

    return line(1, "hello", _HELLO.format(version=version, command=command)) + line(
        2, "result", _RESULT.format(status=128 + number, elapsed=total)
    )
