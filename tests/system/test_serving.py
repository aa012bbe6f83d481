"""A server that an administrator runs: what it leaves on disk, what it says, and how signals end it."""

import contextlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server.conftest import write_images
from system.processes import until

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture
def served(exportctl, tmp_path):
    """Start a server of some images; its address is read, and it is ended."""
    folder = write_images(tmp_path / "images", 2)

    @contextlib.contextmanager
    def start(*arguments, **options):
        words = ["serve", folder, "--port", 0, "--state", tmp_path / "deep" / "state", *arguments]
        with exportctl.start(*words, **options) as process, contextlib.ExitStack() as end:
            end.callback(process.kill)
            assert until(process.stdout.readline, "the server's address").startswith(b"http://127.0.0.1:")
            yield process

    return start


def test_nobody_else_on_the_machine_can_look_into_its_state(served, tmp_path):
    with served():
        state = tmp_path / "deep" / "state"
        assert stat.S_IMODE(state.stat().st_mode) == stat.S_IMODE((state / "jobs").stat().st_mode) == 0o700
        for name in ("events.sqlite3", "people.sqlite3", "tickets.key"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_well_and_a_good_end_has_nothing_to_warn_of(served, number):
    with served() as process:
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")


def test_under_nohup_it_outlives_its_terminal(served):
    with served(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        process.send_signal(signal.SIGHUP)
        assert signal.SIGHUP in ignored(process.pid)
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


def ignored(pid):
    (mask,) = re.findall(r"SigIgn:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
    return {one for one in signal.Signals if int(mask, 16) >> (one - 1) & 1}


def documented(kind, mark):
    (found,) = [
        text for text in re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if mark in text
    ]
    return found


def test_the_documented_unit_is_one_and_lets_the_server_do_little_else(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    unit = tmp_path / "exportctl.service"
    unit.write_text(documented("ini", "[Service]").replace("/opt/exportctl/bin/exportctl", sys.executable))
    found = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert (found.returncode, str(unit) in found.stderr) == (0, False), found.stderr
    assert "NoNewPrivileges=yes" in unit.read_text()


def test_the_documented_copy_of_a_running_servers_state_is_a_state(served, tmp_path):
    lines = documented("sh", "VACUUM INTO").replace("/opt/exportctl/bin/python", sys.executable)
    state, saved = tmp_path / "deep" / "state", tmp_path / "saved"
    saved.mkdir(mode=0o700)
    with served("--token", "one"):
        lines = lines.replace("/var/lib/exportctl", str(state))
        subprocess.run(["sh", "-euc", lines], env={"BACKUP": str(saved)}, check=True, timeout=60)
    assert sorted(path.name for path in saved.iterdir()) == ["events.sqlite3", "people.sqlite3"]
    for path in saved.iterdir():
        path.rename(state / path.name)
    for left in (*state.glob("*-wal"), *state.glob("*-shm")):
        left.unlink()
    with served("--token", "one"):
        pass


def test_what_was_hardly_meant_is_said_in_the_log(exportctl, served, tmp_path):
    settings = tmp_path / "serve.toml"
    settings.write_text('token = "a-token-of-this-file"\nlog_format = "json"\n')
    settings.chmod(0o646)
    exportctl.environment["EXPORTCTL_SERVE_PROT"] = "80"
    with served("--config", settings) as process:
        process.terminate()
        stderr = process.communicate(timeout=60)[1].decode()
    assert "EXPORTCTL_SERVE_PROT is no setting. Did you mean EXPORTCTL_SERVE_PORT?" in stderr
    assert f"everybody on this machine can read the token there: chmod o= {settings}" in stderr
    assert f"everybody on this machine can change the settings: chmod o-w {settings}" in stderr
    assert all(line.startswith('{"time"') for line in stderr.splitlines())


def test_its_manager_is_told_once_it_answers(exportctl, served, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        exportctl.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        with served():
            assert manager.recv(100) == b"READY=1"
