"""The embedded server: `python -m exportctl.server`, the child of a command.

It reads one line of JSON from standard input, `{token, user, projects: [{title, folder}], state, workers?,
ephemeral?}` (`sample`, a number of images, in place of `folder` has the sample made in the state folder), binds a
free loopback port, writes one line to standard output, `{"url": …, "pid": …}` once it accepts or `{"error": {code,
message, hint}}`, and lives until its standard input ends: so it ends with its parent, whatever ends that. Ctrl-C is
the parent's to handle.
"""

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exportctl.server.settings import Settings

_LAST_SECONDS = 5


def main() -> int:
    """Run the child; returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        given = json.loads(_first_line())
        settings = _settings(given)
    except OSError as error:
        code = "DISK_FULL" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "STATE_UNUSABLE"
        return _refuse(code, f"The sample cannot be made: {error.strerror}", "Free some space, or set TMPDIR")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _refuse(
            "BAD_CONFIGURATION", f"The configuration is not understood: {error!r}", "This is a fault: report it"
        )
    return _serve(settings)


def _serve(settings: "Settings") -> int:
    import asyncio  # noqa: PLC0415 - a refused configuration needs none of it

    import uvloop  # noqa: PLC0415

    from exportctl.server.run import StartError, log_to_stderr, run  # noqa: PLC0415

    async def child() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=_await_end, args=(lambda: loop.call_soon_threadsafe(stop.set),), daemon=True).start()
        await run(settings, lambda url: _say({"url": url, "pid": os.getpid()}), stop, signals=(signal.SIGTERM,))

    log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(child())
    except StartError as error:
        return _refuse(error.code, error.message, error.hint)
    return 0


def _settings(given: dict[str, Any]) -> "Settings":
    from exportctl.server.settings import Settings, projects_of  # noqa: PLC0415 - as above

    state = Path(given["state"])
    return Settings(
        tokens={str(given["token"]): str(given["user"])},
        state=state,
        projects=projects_of((_folder(project, state), project.get("title")) for project in given["projects"]),
        workers=int(given.get("workers") or os.cpu_count() or 1),
        ephemeral=bool(given.get("ephemeral", False)),
    )


def _folder(project: dict[str, Any], state: Path) -> Path:
    if "sample" not in project:
        return Path(project["folder"])
    from exportctl.server.export.sample import make_sample  # noqa: PLC0415 - as above

    make_sample(state / "sample", int(project["sample"]))
    return state / "sample"


def _first_line() -> bytes:
    """Read up to the first line's end from the descriptor itself: a buffered reader may not be shared with a thread."""
    line = b""
    while not line.endswith(b"\n") and (read := os.read(0, 1 << 16)):
        line += read
    return line


def _await_end(stop: Callable[[], object]) -> None:
    """Wait for the end of standard input; then the server has a few seconds to end well."""
    while os.read(0, 1 << 16):
        pass
    stop()
    time.sleep(_LAST_SECONDS)
    os._exit(1)


def _say(words: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _refuse(code: str, message: str, hint: str) -> int:
    _say({"error": {"code": code, "message": message, "hint": hint}})
    return 1


if __name__ == "__main__":
    sys.exit(main())
