"""The embedded server: `python -m exportctl.server`, the child of a command.

It reads one line of JSON from standard input, `{token, user, projects: [{title, folder}], state, workers?,
ephemeral?, door?, parked?}` (`sample`, a number of images, in place of `folder` has the sample made in the state
folder), binds a free loopback port, writes one line to standard output, `{"url": …, "pid": …}` once it accepts or
`{"error": {code, message, hint}}`, and lives until its standard input ends: so it ends with its parent, whatever ends
that. Ctrl-C is the parent's to handle. `parked`: there are jobs of before, whatever became of the folder.

With `door`, the named pipe that its standard input is, other commands may come in as long as it runs: it holds
`server.lock` in the state folder, says in `address.json` where it is, and ends once nobody holds the pipe open, which
it makes sure of under `door.lock` (`client/parking.py` is the other side).
"""

import fcntl
import json
import os
import shutil
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
        door = None if given.get("door") is None else Path(given["door"])
        if door is not None:
            _lock(door.with_name("server.lock"))  # kept until this process is no more
        settings = _settings(given)
    except OSError as error:
        from exportctl.server.full_disk import is_full  # noqa: PLC0415 - SQLite is loaded later by what needs it

        code = "DISK_FULL" if is_full(error) else "STATE_UNUSABLE"
        return _refuse(code, f"The sample cannot be made: {error.strerror}", "Free some space, or set TMPDIR")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _refuse(
            "BAD_CONFIGURATION", f"The configuration is not understood: {error!r}", "This is a fault: report it"
        )
    return _serve(settings, door, str(given["token"]))


def _serve(settings: "Settings", door: Path | None, token: str) -> int:
    import asyncio  # noqa: PLC0415 - a refused configuration needs none of it

    import uvloop  # noqa: PLC0415

    from exportctl.server.logs import log_to_stderr  # noqa: PLC0415
    from exportctl.server.preconditions import StartError  # noqa: PLC0415
    from exportctl.server.run import collect_seldom, run  # noqa: PLC0415

    async def child() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(
            target=_await_end, args=(lambda: loop.call_soon_threadsafe(stop.set), door), daemon=True
        ).start()

        def ready(url: str) -> None:
            if door is not None:
                _publish(door.with_name("address.json"), {"url": url, "token": token})
            _say({"url": url, "pid": os.getpid()})

        await run(settings, ready, stop, signals=(signal.SIGTERM,))

    log_to_stderr()
    collect_seldom()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(child())
    except StartError as error:
        return _refuse(error.code, error.message, error.hint)
    return 0


def _settings(given: dict[str, Any]) -> "Settings":
    from exportctl.server.export.limits import Limits, cores, pixels_for  # noqa: PLC0415 - as above
    from exportctl.server.settings import Settings, projects_of  # noqa: PLC0415

    state = Path(given["state"])
    workers = int(given.get("workers") or cores())
    return Settings(
        tokens={str(given["token"]): str(given["user"])},
        state=state,
        projects=projects_of((_folder(project, state), project.get("title")) for project in given["projects"]),
        workers=workers,
        limits=Limits(pixels=pixels_for(workers)),
        ephemeral=bool(given.get("ephemeral", False)),
        checks_folders=not given.get("parked", False),
    )


def _folder(project: dict[str, Any], state: Path) -> Path:
    if "sample" not in project:
        return Path(project["folder"])
    from exportctl.server.export.sample import make_sample  # noqa: PLC0415 - as above

    made, making = state / "sample", state / "sample.new"
    if not made.exists():  # a server before this one may have made it
        shutil.rmtree(making, ignore_errors=True)
        make_sample(making, int(project["sample"]))
        making.rename(made)
    return made


def _first_line() -> bytes:
    """Read up to the first line's end from the descriptor itself: a buffered reader may not be shared with a thread."""
    line = b""
    while not line.endswith(b"\n") and (read := os.read(0, 1 << 16)):
        line += read
    return line


def _await_end(stop: Callable[[], object], door: Path | None) -> None:
    """Wait for the end of standard input; then the server has a few seconds to end well."""
    while True:
        while os.read(0, 1 << 16):
            pass
        if door is None or _shut(door):
            break
    stop()
    time.sleep(_LAST_SECONDS)
    os._exit(1)


def _shut(door: Path) -> bool:
    """Let nobody in any more; False where somebody came in since the last one left."""
    try:
        lock = _lock(door.with_name("door.lock"))
    except OSError:
        return True  # the folder is gone
    try:
        os.set_blocking(0, False)
        try:
            os.read(0, 1)
        except BlockingIOError:  # it is held open
            os.set_blocking(0, True)
            return False
        door.with_name("address.json").unlink(missing_ok=True)
        door.unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    """Wait for the lock and return the descriptor that holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _publish(path: Path, words: dict[str, str]) -> None:
    """Write a file that only this user can read, whole or not at all."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(words, file)
    aside.replace(path)


def _say(words: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _refuse(code: str, message: str, hint: str) -> int:
    _say({"error": {"code": code, "message": message, "hint": hint}})
    return 1


if __name__ == "__main__":
    sys.exit(main())
