"""The embedded server: a child process on a free loopback port, that ends with the last command that uses it.

It lives as long as its standard input, the door of its folder (see `parking`), is held open by a command, so that it
ends too when these are killed; the token goes through that pipe, never through an argument. Its words (standard error)
are kept in a file and shown only where it died.
"""

import asyncio
import contextlib
import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from exportctl.client.parking import LOOK_SECONDS, Address, Place
from exportctl.model.errors import CannotWrite, ExportctlError, NotFound, Unreachable, Usage

START_SECONDS: Final = 60.0
"""A cold disk and a busy machine import slowly; the usual start takes one."""
SAMPLE_SECONDS: Final = 0.1
"""For each image of a sample; 4 ms are usual."""
END_SECONDS: Final = 10.0
ALIVE_SECONDS: Final = 0.2
"""Between looks whether it still lives."""
_NEEDED: Final = (
    "starlette",
    "socketio",
    "uvicorn",
    "prometheus_client",
    "argon2",
    "cv2",
    "numpy",
    "tifffile",
    "shapely",
    "xlsxwriter",
)


@dataclass(slots=True, kw_only=True)
class _Use:
    """This command's use of a server: what it holds open for that, the process where it has started it."""

    address: Address
    held: tuple[int, ...]
    process: "subprocess.Popen[bytes] | None"


@asynccontextmanager
async def embedded_server(
    place: Place, project: Mapping[str, object] | None, *, keeps: Callable[[], bool]
) -> AsyncIterator[Address]:
    """Reach the server of `place`, started where none runs; leave it with the block.

    `project` is `{title, folder}` or `{title, sample: images}`, None for what the folder was made for. `keeps` is asked
    at the end, when nobody else uses the folder: whether what lies there is to stay.

    Raises `Usage` where the extra `server` is not installed, `Unreachable` where it does not start or dies within the
    block, and what it says of the project.
    """
    process: subprocess.Popen[bytes] | None = None
    held: tuple[int, ...] = ()
    try:
        _check_installed()
        use = await _enter(place, project)
        held, process = use.held, use.process
        async with _while_it_lives(place):
            yield use.address
    finally:
        for descriptor in held:
            os.close(descriptor)
        await asyncio.shield(_leave(place, process, keeps))


def _check_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Usage(
            f"the embedded server needs the extra 'server' ({', '.join(missing)} not installed)",
            hint="pip install 'exportctl[server]', or name a server with --server URL",
            code="NO_SERVER_EXTRA",
        )


@asynccontextmanager
async def _while_it_lives(place: Place) -> AsyncIterator[None]:
    """Turn the server's death into an error of the block."""
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a context of a task")
    before = task.cancelling()
    death = asyncio.create_task(_death(place))

    def ends_the_block(_death: asyncio.Task[None]) -> None:
        if not death.cancelled():
            task.cancel()

    death.add_done_callback(ends_the_block)
    try:
        yield
    except asyncio.CancelledError:
        if death.done() and task.uncancel() <= before:
            raise _died(place) from None
        raise
    except Unreachable as error:
        if place.is_free():
            raise _died(place) from error
        raise
    finally:
        death.remove_done_callback(ends_the_block)
        death.cancel()


async def _death(place: Place) -> None:
    while not place.is_free():  # noqa: ASYNC110 - a lock of another process sets no event
        await asyncio.sleep(ALIVE_SECONDS)


def _died(place: Place) -> Unreachable:
    parked = "exportctl resume goes on with what was begun; " if place.is_lasting else ""
    return Unreachable(
        f"the embedded server ended unexpectedly: {_tail(place.words)}",
        hint=f"{parked}memory or disk may be short",
        code="SERVER_DIED",
    )


async def _enter(place: Place, project: Mapping[str, object] | None) -> _Use:
    """Come in where a server runs, start one where none does; wait where one is just ending."""
    while True:
        async with place.entrance() as is_there:
            if not is_there:
                raise NotFound("what was parked here was taken away meanwhile", hint="exportctl list")
            user = place.use()  # before the door: whoever leaves just now must see that the server is wanted
            try:
                door, address = place.knock(), place.address()
                if door is not None and address is not None:
                    return _Use(address=address, held=(door, user), process=None)
                if place.is_free():
                    is_parked = project is None
                    return await _start(place, project or _parked_project(place), user, is_parked=is_parked)
            except BaseException:
                os.close(user)
                raise
            os.close(user)
        await asyncio.sleep(LOOK_SECONDS)


def _parked_project(place: Place) -> Mapping[str, object]:
    try:
        project = orjson.loads((place.folder / "project.json").read_bytes())
    except (OSError, ValueError):
        project = None
    if not isinstance(project, dict):
        raise NotFound(f"what is parked in {place.folder} was never begun, or is damaged")
    return project


async def _start(place: Place, project: Mapping[str, object], user: int, *, is_parked: bool) -> _Use:
    token = secrets.token_urlsafe(32)
    try:
        _note_project(place, project)
        inner, outer = place.make_door()
        process = _spawn(place, inner)
    except OSError as error:
        raise CannotWrite(
            f"the embedded server cannot be started in {place.folder}: {error.strerror}",
            hint="free some space; --no-state works in TMPDIR" if place.is_lasting else "TMPDIR names another place",
        ) from error
    sample = project.get("sample")
    patience = START_SECONDS + (sample * SAMPLE_SECONDS if isinstance(sample, int) else 0)
    configuration = {
        "token": token,
        "user": "local",
        "projects": [project],
        "state": os.fspath(place.folder),
        "door": os.fspath(place.door),
        "ephemeral": not place.is_lasting,
        "parked": is_parked,
    }
    try:
        url = await _begin(process, place.words, patience, outer, configuration)
    except BaseException:
        os.close(outer)
        await asyncio.shield(_end(process))
        raise
    return _Use(address=Address(url=url, token=token), held=(outer, user), process=process)


def _note_project(place: Place, project: Mapping[str, object]) -> None:
    path = place.folder / "project.json"
    aside = path.with_suffix(".new")
    aside.write_bytes(orjson.dumps(project))
    aside.replace(path)


def _spawn(place: Place, inner: int) -> "subprocess.Popen[bytes]":
    """Start the process. Not by asyncio, whose transports kill it at the end of the loop: others may use it still."""
    try:
        with place.words.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "exportctl.server"],  # -P: the user's folder is no place to import from
                stdin=inner,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is the commands' to handle
            )
    finally:
        os.close(inner)


async def _begin(
    process: "subprocess.Popen[bytes]",
    words: Path,
    patience: float,
    door: int,
    configuration: Mapping[str, object],
) -> str:
    """Hand over the configuration and return the URL that the server answers at."""
    with contextlib.suppress(BrokenPipeError):  # it died already: its first line, or the lack of one, says so
        rest = memoryview(orjson.dumps(configuration, option=orjson.OPT_APPEND_NEWLINE))
        while rest:
            rest = rest[os.write(door, rest) :]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        async with asyncio.timeout(patience):
            said = await reader.readline()
    except TimeoutError as error:
        raise Unreachable(f"the embedded server did not start within {patience:.0f} s") from error
    finally:
        pipe.close()
    try:
        answer = orjson.loads(said)
        problem = answer.get("error")
        if problem is None:
            return str(answer["url"])
    except (ValueError, KeyError, AttributeError):
        raise Unreachable(f"the embedded server did not start: {_tail(words)}", code="SERVER_DIED") from None
    raise _refusal(problem)


def _refusal(problem: Mapping[str, str]) -> ExportctlError:
    message, hint, code = problem.get("message") or "unknown", problem.get("hint"), problem.get("code")
    if code in {"NO_SUCH_FOLDER", "NO_IMAGES", "NOT_A_FOLDER", "NO_PERMISSION"}:
        return Usage(message, hint=hint, code=code)
    if code == "DISK_FULL":
        return CannotWrite(message, hint=hint, code=code)
    return Unreachable(f"the embedded server did not start: {message}", hint=hint, code=code)


async def _leave(place: Place, process: "subprocess.Popen[bytes] | None", keeps: Callable[[], bool]) -> None:
    """Wait for the end of a server that nobody else holds, and take away what is not to be kept."""
    deadline = asyncio.get_running_loop().time() + END_SECONDS
    while not place.is_free():
        if place.is_used():
            return
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(LOOK_SECONDS)
    if process is not None:
        await _end(process)
    async with place.entrance() as is_there:
        if is_there and place.is_free() and not keeps():
            place.remove()


async def _end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a server whose door is closed; end it by force where that takes too long."""
    deadline = asyncio.get_running_loop().time() + END_SECONDS
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
        await asyncio.sleep(LOOK_SECONDS)


def _tail(words: Path) -> str:
    try:
        lines = words.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
