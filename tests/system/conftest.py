"""Commands, servers and projects for the tests, and the look at what they leave behind."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exportctl.server.export.sample import make_sample
from system.processes import PATIENCE, Command, Served, command_in, descendants_in, until

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def exportctl(tmp_path) -> Iterator[Command]:
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    command = Command(folder=tmp_path / "work", home=tmp_path / "home")
    yield command
    until(lambda: not descendants_in(command.home), "every process of the command to be gone", 15)
    assert command.parks or command.parked == [], "the embedded server left files behind"


@pytest.fixture
def serve(exportctl) -> Iterator[Callable[..., Served]]:
    """Run `exportctl serve` on folders; ended by SIGTERM."""
    started: list[subprocess.Popen] = []

    def start(*folders: object, token: str = "a-token-of-the-tests", state: str = "served", **options) -> Served:
        # `doctor` waits for a ping of its socket: where a test asks for it, that is soon.
        process = exportctl.start(
            *("serve", *folders, "--port", 0, "--token", token, "--state", exportctl.home / state),
            *("--ping-interval", options.pop("ping_interval", 25)),
            **options,
        )
        started.append(process)
        url = process.stdout.readline().decode().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read().decode()
        return Served(url=url, token=token, process=process)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


@pytest.fixture
def command(tmp_path) -> Command:
    """A command that says where it hangs."""
    return command_in(tmp_path)


@pytest.fixture(scope="session")
def fast(tmp_path_factory) -> Path:
    """Give a project whose export is soon done."""
    folder = tmp_path_factory.mktemp("fast") / "fast"
    make_sample(folder, 3)
    return folder


@pytest.fixture(scope="session")
def slow(tmp_path_factory) -> Path:
    """Give a project whose export takes many seconds."""
    folder = tmp_path_factory.mktemp("slow") / "slow"
    make_sample(folder, 300)
    return folder
