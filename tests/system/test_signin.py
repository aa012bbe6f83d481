"""Signing in with the real command: at a prompt, from a pipe, from the environment; what is kept, and what never is."""

import contextlib
import os
import pty
import signal
import stat
import subprocess
import sys
import termios
import threading

import orjson
import pytest

from people_server import EMAIL, PASSWORD, serving
from system.processes import PATIENCE, until

KEYRING = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    path = pathlib.Path(os.environ["HOME"]) / "ring"

    def _all(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, name):
        return self._all().get(f"{service}/{name}")

    def set_password(self, service, name, text):
        self.path.write_text(json.dumps({**self._all(), f"{service}/{name}": text}))

    def delete_password(self, service, name):
        kept = self._all()
        del kept[f"{service}/{name}"]
        self.path.write_text(json.dumps(kept))
"""


@pytest.fixture
def people():
    with serving() as found:
        yield found


@pytest.fixture
def ana(exportctl, people):
    """The command, where Ana has signed in."""
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    assert log_in(exportctl).status == 0
    return exportctl


def log_in(exportctl, *options, password=PASSWORD):
    return piped(exportctl, f"{password}\n", "login", "--email", EMAIL, "--password-stdin", *options)


def piped(exportctl, text, *arguments):
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    try:
        return exportctl.run(*arguments, stdin=read)
    finally:
        os.close(read)


def jar_of(exportctl, profile="default"):
    return exportctl.home / ".local/state/exportctl/sessions" / f"{profile}.json"


def secrets_of(people):
    return {PASSWORD, *people.access, *people.refresh}


def test_who_signed_in_is_known_until_signing_out(ana, people):
    assert stat.S_IMODE(jar_of(ana).stat().st_mode) == 0o600
    seen = ana.run("whoami")
    assert (seen.status, seen.stdout.decode()) == (0, f"{EMAIL}\n")
    out = ana.run("logout")
    assert (out.status, out.stdout) == (0, b"")
    assert not jar_of(ana).exists()
    assert not people.refresh, "the server has forgotten the session too"
    gone = ana.run("whoami")
    assert gone.status == 4
    assert f"exportctl login --server {people.url}" in gone.stderr
    assert ana.run("logout").status == 0


def test_the_configuration_is_left_alone_and_what_to_write_is_said(ana, people):
    assert not (ana.home / ".config").exists()
    ana.environment = {}
    ended = log_in(ana, "--profile", "lab", "--server", people.url)
    assert ended.status == 0
    assert f'[lab] server = "{people.url}"' in ended.stderr
    assert not (ana.home / ".config").exists()
    assert ana.run("whoami", "--profile", "lab", "--server", people.url).status == 0
    assert ana.run("whoami", "--profile", "labb", "--server", people.url).status == 2


def test_no_secret_is_in_anything_that_is_said(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    people.access_seconds = 0.0
    said = []
    for arguments in (["login", "--email", EMAIL, "--password-stdin"], ["whoami"], ["projects"], ["logout"]):
        for form in (["-vv"], ["-vv", "--ndjson", "--events", "events"]):
            ended = piped(exportctl, PASSWORD, *arguments, *form)
            said += [ended.stdout.decode(), ended.stderr]
    said.append((exportctl.folder / "events").read_text())
    assert people.rotations > 0
    assert not [secret for secret in secrets_of(people) if any(secret in text for text in said)]


def test_a_wrong_password_is_status_4_and_keeps_nothing(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    ended = log_in(exportctl, password="falsch")
    assert (ended.status, "falsch" in ended.stderr) == (4, False)
    assert "wrong email or password" in ended.stderr
    assert not jar_of(exportctl).exists()


def test_too_many_attempts_say_when_to_try_again(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    people.sign_in_answer = (429, {"success": False, "error": "x"}, {"Retry-After": "600"})
    ended = log_in(exportctl, "--ndjson")
    assert ended.status == 4
    assert ended.result["error"]["code"] == "TOO_MANY_SIGN_INS"
    assert "in 10 minutes" in ended.result["error"]["hint"]


def test_twenty_commands_at_once_renew_once_and_nobody_is_signed_out(ana, people):
    people.end_access()
    commands = [ana.start("whoami") for _ in range(20)]
    for command in commands:
        stdout, stderr = command.communicate(timeout=PATIENCE * 2)
        assert (command.returncode, stdout.decode()) == (0, f"{EMAIL}\n"), stderr
    assert (people.asked["refresh"], people.rotations, people.reused) == (1, 1, 0)
    assert ana.run("whoami").status == 0


@pytest.mark.parametrize("is_rotated", [False, True], ids=["before the server's answer", "after the rotation"])
def test_a_command_killed_while_it_renews_leaves_a_jar_that_works_or_the_words_to_sign_in(ana, people, is_rotated):
    people.end_access()
    people.hold_refresh = threading.Event()
    people.holds_before = not is_rotated
    command = ana.start("whoami")
    until(lambda: people.asked["held"], "the renewal to be under way")
    command.kill()
    command.communicate(timeout=PATIENCE)
    people.hold_refresh.set()
    people.hold_refresh, people.holds_before = None, False
    ended = ana.run("whoami")
    if is_rotated:
        assert (ended.status, "exportctl login" in ended.stderr) == (4, True)
        assert log_in(ana).status == 0
        ended = ana.run("whoami")
    assert (ended.status, ended.stdout.decode()) == (0, f"{EMAIL}\n")
    assert {path.name for path in jar_of(ana).parent.iterdir()} == {"default.json", "default.lock"}


def test_cron_signs_in_with_nothing_but_the_environments_words(people, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "exportctl", "whoami", "--no-state"],
        env={"EXPORTCTL_SERVER": people.url, "EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout.decode()) == (0, f"{EMAIL}\n"), ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_environments_words_keep_nothing(exportctl, people):
    exportctl.environment = {
        "EXPORTCTL_SERVER": people.url,
        "EXPORTCTL_EMAIL": EMAIL,
        "EXPORTCTL_PASSWORD": PASSWORD,
    }
    assert exportctl.run("whoami").stdout.decode() == f"{EMAIL}\n"
    assert not jar_of(exportctl).exists()


def test_half_of_the_environments_words_is_told_as_that(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url, "EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": ""}
    ended = exportctl.run("whoami")
    assert (ended.status, "EXPORTCTL_PASSWORD is not" in ended.stderr) == (4, True)


def test_keeping_nothing_and_keeping_a_session_is_a_contradiction(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url, "EXPORTCTL_STATE": "off"}
    assert log_in(exportctl).status == 2
    assert people.asked["login"] == 0


def test_a_jar_that_others_can_read_is_refused_with_what_to_do(ana):
    jar_of(ana).chmod(0o640)
    ended = ana.run("whoami")
    assert ended.status == 4
    assert f"chmod 600 {jar_of(ana)}" in ended.stderr
    ana.environment |= {"EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD}
    assert ana.run("whoami").status == 0, "what else is there is used"
    jar_of(ana).chmod(0o600)
    assert ana.run("whoami").status == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_jar_of_another_user_is_refused(ana):
    os.chown(jar_of(ana), 12345, -1)
    ended = ana.run("whoami")
    assert (ended.status, "another user's" in ended.stderr) == (4, True)


def test_a_damaged_jar_is_mended_by_signing_in(ana):
    jar_of(ana).write_bytes(b'{"v": 1, "servers"')
    ended = ana.run("whoami")
    assert (ended.status, "damaged" in ended.stderr, "exportctl login" in ended.stderr) == (4, True, True)
    assert log_in(ana).status == 0
    assert ana.run("whoami").status == 0


@pytest.fixture
def read_only(ana):
    """Ana's state on a disk that nothing can be written to any more; only root can make one."""
    state = ana.home / ".local/state"
    mount = ["mount", "--bind", state, state]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a read-only disk can be mounted only by root")
    subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
    yield ana
    subprocess.run(["umount", state], check=True)


def test_a_session_is_read_from_a_disk_that_cannot_be_written_and_not_renewed_there(read_only, people):
    assert read_only.run("whoami").status == 0
    people.end_access()
    ended = read_only.run("whoami")
    assert ended.status == 4
    assert "could not be kept" in ended.stderr
    assert people.asked["refresh"] == 0, "a renewal that cannot be kept would sign out everybody else"
    assert log_in(read_only).status == 11


def test_the_keyring_keeps_the_session_and_its_renewals(exportctl, people):
    (exportctl.home / "ring_of_tests.py").write_text(KEYRING)
    exportctl.environment = {
        "EXPORTCTL_SERVER": people.url,
        "PYTHONPATH": str(exportctl.home),
        "PYTHON_KEYRING_BACKEND": "ring_of_tests.Keyring",
    }
    pytest.importorskip("keyring")
    assert log_in(exportctl, "--keyring").status == 0
    people.end_access()
    assert exportctl.run("whoami").status == 0
    assert exportctl.run("whoami").status == 0
    assert people.rotations == 1
    kept = jar_of(exportctl).read_text()
    assert not [secret for secret in secrets_of(people) if secret in kept]
    assert any(token in (exportctl.home / "ring").read_text() for token in people.refresh)
    assert exportctl.run("logout").status == 0
    assert orjson.loads((exportctl.home / "ring").read_bytes()) == {}
    assert not jar_of(exportctl).exists()


def test_without_a_keyring_that_is_said_before_any_question(exportctl, people):
    exportctl.environment = {
        "EXPORTCTL_SERVER": people.url,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    ended = log_in(exportctl, "--keyring")
    assert (ended.status, "--keyring" in ended.stderr) == (2, True)
    assert people.asked["login"] == 0


def test_every_page_of_the_projects_is_listed(ana, people):
    people.projects = [{**people.projects[0], "id": f"p{n}", "title": f"Projekt {n}"} for n in range(120)]
    ended = ana.run("projects", "--ndjson")
    rows = [line for line in ended.lines if line["event"] == "project"]
    assert [row["projectId"] for row in rows] == [f"p{n}" for n in range(120)]
    assert (rows[0]["title"], rows[0]["imageCount"], ended.result["exitCode"]) == ("Projekt 0", 1, 0)
    found = ana.run("projects", "--search", "Projekt 11").stdout.decode().splitlines()
    assert found[0].split() == ["TITLE", "IMAGES", "CHANGED", "ID"]
    assert [line.split()[-1] for line in found[1:]] == ["p11", *(f"p{n}" for n in range(110, 120))]
    nothing = ana.run("projects", "--search", "nichts")
    assert (nothing.status, nothing.stdout) == (0, b"")


def test_the_formats_are_listed_as_the_options_that_take_them(ana):
    rows = ana.run("formats").stdout.decode().splitlines()
    assert rows[1].startswith("--annotations coco")
    told = [line for line in ana.run("formats", "--ndjson").lines if line["event"] == "format"]
    assert [(line["kind"], line["id"]) for line in told] == [
        ("annotations", "coco"),
        ("annotations", "yolo"),
        ("metrics", "excel"),
    ]


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, exportctl, *arguments):
        self.master, slave = pty.openpty()
        self.command = exportctl.start(
            *arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal
        )
        self.slave = slave
        self.shown = b""

    def shows(self, text):
        until(lambda: self._read() and text in self.shown, f"{text!r} to be shown")

    def type(self, text):
        os.write(self.master, text)

    def is_echoing(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def end(self):
        status = self.command.wait(PATIENCE)
        os.close(self.slave)
        with contextlib.suppress(OSError):
            while piece := os.read(self.master, 65536):
                self.shown += piece
        os.close(self.master)
        return status

    def _read(self):
        os.set_blocking(self.master, False)
        with contextlib.suppress(BlockingIOError):
            self.shown += os.read(self.master, 65536)
        return True


def _take_terminal():
    import fcntl  # noqa: PLC0415 - in the child

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_at_a_terminal_email_and_password_are_asked_for_and_the_password_is_not_shown(exportctl, people):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    terminal = Terminal(exportctl, "login")
    terminal.shows(b"Email: ")
    terminal.type(f"{EMAIL}\n".encode())
    terminal.shows(b"Password of ana@example.com: ")
    until(lambda: not terminal.is_echoing(), "the echo to be off")
    terminal.type(f"{PASSWORD}\n".encode())
    assert terminal.end() == 0
    assert PASSWORD not in terminal.shown.decode()
    assert jar_of(exportctl).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_prompt_ends_the_command_and_gives_the_terminal_back(exportctl, people, number):
    exportctl.environment = {"EXPORTCTL_SERVER": people.url}
    terminal = Terminal(exportctl, "login", "--email", EMAIL)
    terminal.shows(b"Password")
    until(lambda: not terminal.is_echoing(), "the echo to be off")
    terminal.command.send_signal(number)
    until(lambda: terminal.command.poll() is not None, "the command to end")
    assert terminal.is_echoing()
    assert terminal.end() == -number
    assert b"Traceback" not in terminal.shown


def test_whoever_holds_a_token_of_a_server_without_people_is_signed_in_by_no_name(exportctl, serve):
    (exportctl.folder / "pictures").mkdir()
    served = serve("pictures")
    assert exportctl.run("whoami", *served.options).stdout == b"a user whose name the server does not tell\n"
    assert exportctl.run("whoami", "--server", served.url, "--token", "wrong").status == 4
    listed = exportctl.run("projects", *served.options, "--ndjson")
    assert [line["title"] for line in listed.lines if line["event"] == "project"] == ["pictures"]
    assert exportctl.run("formats", *served.options).stdout.startswith(b"OPTION")
    ended = piped(exportctl, PASSWORD, "login", "--server", served.url, "--email", EMAIL, "--password-stdin")
    assert (ended.status, "knows no sign-in" in ended.stderr) == (4, True)
