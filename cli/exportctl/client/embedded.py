"""The embedded server: a child process on a free loopback port, that ends with this command whatever happens to it.

It lives as long as its standard input is open, so that it ends too when this process is killed; the token goes
through that pipe, never through an argument. Its words (standard error) are kept in a file and shown only where it
died.
"""

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from exportctl.model.errors import CannotWrite, ExportctlError, Unreachable, Usage

START_SECONDS: Final = 60.0
"""A cold disk and a busy machine import slowly; the usual start takes one."""
SAMPLE_SECONDS: Final = 0.1
"""For each image of a sample; 4 ms are usual."""
END_SECONDS: Final = 10.0
_NEEDED: Final = ("starlette", "socketio", "uvicorn", "cv2", "numpy", "tifffile", "shapely", "xlsxwriter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A running embedded server. `died` is done with its last words once it ends by itself."""

    url: str
    token: str
    died: "asyncio.Task[str]"


@asynccontextmanager
async def embedded_server(project: Mapping[str, object], *, home: Path | None) -> AsyncIterator[Embedded]:
    """Start the server with one project, `{title, folder}` or `{title, sample: images}`; end it with the block.

    `home` is where its files may lie; None, or a place that cannot be written, means the system's temporary folder.
    Raises `Usage` where the extra `server` is not installed, `Unreachable` where it does not start, and what it says
    of the project.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Usage(
            f"the embedded server needs the extra 'server' ({', '.join(missing)} not installed)",
            hint="pip install 'exportctl[server]', or name a server with --server URL",
            code="NO_SERVER_EXTRA",
        )
    folder = _make_folder(home)
    token = secrets.token_urlsafe(32)
    words = folder / "server.log"
    try:
        with words.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder the user stands in is no place to import from
                "-m",
                "exportctl.server",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is this command's to handle
            )
        try:
            sample = project.get("sample")
            patience = START_SECONDS + (sample * SAMPLE_SECONDS if isinstance(sample, int) else 0)
            url = await _begin(process, words, patience, token=token, project=project, state=folder)
            died = asyncio.create_task(_last_words(process, words))
            try:
                yield Embedded(url=url, token=token, died=died)
            finally:
                died.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await died
        finally:
            await asyncio.shield(_end(process))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(home: Path | None) -> Path:
    if home is not None:
        with contextlib.suppress(OSError):
            home.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="embedded-", dir=home))
    try:
        return Path(tempfile.mkdtemp(prefix="exportctl-"))
    except OSError as error:
        raise CannotWrite(
            f"no folder can be made for the embedded server: {error.strerror}", hint="TMPDIR names another place"
        ) from error


async def _begin(
    process: asyncio.subprocess.Process,
    words: Path,
    patience: float,
    *,
    token: str,
    project: Mapping[str, object],
    state: Path,
) -> str:
    """Hand over the configuration and return the URL that the server answers at."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("made with pipes")
    configuration = {
        "token": token,
        "user": "local",
        "projects": [project],
        "state": os.fspath(state),
        "ephemeral": True,
    }
    with contextlib.suppress(ConnectionError):  # it died already: its first line, or the lack of one, says so
        process.stdin.write(orjson.dumps(configuration, option=orjson.OPT_APPEND_NEWLINE))
        await process.stdin.drain()
    try:
        async with asyncio.timeout(patience):
            said = await process.stdout.readline()
    except TimeoutError as error:
        raise Unreachable(f"the embedded server did not start within {patience:.0f} s") from error
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


async def _last_words(process: asyncio.subprocess.Process, words: Path) -> str:
    await process.wait()
    return _tail(words)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its standard input, which ends it; end it by force where that takes too long."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


def _tail(words: Path) -> str:
    try:
        lines = words.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
