"""The real command as a process, in a home of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import orjson
import pytest

from schema_of_lines import BEGINNING, check, check_all

PATIENCE = 60.0
"""Seconds after which a condition that did not come true is a failure; none of the tests waits for time itself."""
SHARED = Path(__file__).parents[2].parent / "shared"


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> object:
    """Wait until `condition` is truthy and return it."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:.0f} s in vain for: {what}")
        time.sleep(0.01)
    return value


class Watched(subprocess.Popen):
    """A command whose every line, from standard output and in its events file, is held against the schema."""

    events: Path | None = None

    def __exit__(self, kind, *about):
        """Wait for its end, as ever; one whose test has failed is not waited for."""
        if kind is not None:
            self.kill()
        super().__exit__(kind, *about)

    def communicate(self, *args, **options):
        """Wait for its end, as ever."""
        stdout, stderr = super().communicate(*args, **options)
        if isinstance(stdout, bytes):
            check_all(stdout)
        if self.events is not None and self.events.is_file():
            check_all(self.events.read_bytes())
        return stdout, stderr


class Lines:
    """Standard output as a test reads it while the command runs."""

    def __init__(self, stream) -> None:
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def readline(self) -> bytes:
        line = self._stream.readline()
        if line.startswith(BEGINNING) and line.endswith(b"\n"):
            check(line)
        return line

    def __iter__(self):
        return iter(self.readline, b"")


@dataclass(kw_only=True)
class Ended:
    """A command that has ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def lines(self) -> list[dict]:
        """The NDJSON lines of standard output; every one must parse."""
        assert self.stdout.endswith(b"\n"), self.stdout
        return [orjson.loads(line) for line in self.stdout.splitlines()]

    @property
    def result(self) -> dict:
        """The one `result` line, which is the last."""
        lines = self.lines
        assert [line["event"] for line in lines].count("result") == 1, lines
        assert lines[-1]["event"] == "result", lines[-3:]
        return lines[-1]


@dataclass(kw_only=True)
class Command:
    """Starts `exportctl` in a folder and home of its own. `parks`: a test that leaves jobs parked there says so."""

    folder: Path
    home: Path
    parks: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def parked(self) -> list[Path]:
        """The folders of embedded servers that lie in the home."""
        return list((self.home / ".local/state/exportctl/embedded").glob("*"))

    def start(self, *arguments: object, **options) -> subprocess.Popen:
        """Start the command; standard output and error are pipes unless said otherwise.

        Nothing is read ahead: what a test has not read of a pipe, `communicate` finds.
        """
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "bufsize": 0}
        pipes["pipesize"] = 1 << 20  # a command that a test reads last must not stand still for it
        words = [*map(str, arguments)]
        process = Watched(
            [sys.executable, "-m", "exportctl", *words],
            cwd=self.folder,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], **self.environment},
            **(pipes | options),
        )
        if "--events" in words[:-1]:
            process.events = self.folder / words[words.index("--events") + 1]
        if process.stdout is not None:
            process.stdout = Lines(process.stdout)
        return process

    def run(self, *arguments: object, **options) -> Ended:
        """Run the command to its end."""
        with self.start(*arguments, **options) as process:
            stdout, stderr = process.communicate(timeout=PATIENCE * 2)
        return Ended(status=process.returncode, stdout=stdout or b"", stderr=(stderr or b"").decode())


def command_in(folder: Path) -> Command:
    """Return a command with a home and a working folder of its own in `folder`; it says where it hangs."""
    for name in ("home", "work"):
        (folder / name).mkdir(parents=True)
    return Command(folder=folder / "work", home=folder / "home", environment={"PYTHONFAULTHANDLER": "1"})


def end_of(process: subprocess.Popen, patience: float, what: object) -> Ended:
    """Return the command's end; one that hangs says where, and fails the test with `what` happened to it."""
    try:
        stdout, stderr = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER it tells where it stands
        stdout, stderr = process.communicate()
        pytest.fail(f"still running after {patience:.0f} s: {what}\n{stderr.decode()}\n{stdout.decode()[-3000:]}")
    return Ended(status=process.returncode, stdout=stdout, stderr=stderr.decode())


def lines_until(process: subprocess.Popen, event: str) -> list[dict]:
    """Read the command's lines up to the first of that event, and return them."""
    lines = []
    for text in process.stdout:
        lines.append(orjson.loads(text))
        if lines[-1]["event"] == event:
            return lines
    raise AssertionError((lines, process.stderr.read()))


def descendants_in(home: Path) -> list[int]:
    """Return the processes whose environment has this home: children and workers, orphans too."""
    wanted = f"HOME={home}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes() and (entry / "stat").read_text().split(") ")[1][0] != "Z":
                    found.append(int(entry.name))
    return found


@dataclass(kw_only=True)
class Served:
    """A server of its own process."""

    url: str
    token: str
    process: subprocess.Popen

    @classmethod
    def start(
        cls,
        command: Command,
        *folders: object,
        state: Path,
        port: int = 0,
        workers: int = 1,
        more: Sequence[object] = (),
    ) -> Self:
        """Start `exportctl serve` and wait until it listens; on the same state and port it goes on for another."""
        token = "a-token-of-the-tests"
        options = ["--port", port, "--state", state, "--workers", workers, "--token", token, *more]
        process = command.start("serve", *folders, *options, stderr=None)
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        assert url.startswith("http://127.0.0.1:"), url
        return cls(url=url, token=token, process=process)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait until it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)

    @property
    def options(self) -> list[str]:
        """The options that reach it."""
        return ["--server", self.url, "--token", self.token]


def children_of(pid: int) -> list[int]:
    """Return the processes that this one started itself."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
