"""The scripts do in real shells what they promise. A shell that is not on this machine is left out, and said."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exportctl.config import state_folder
from exportctl.startup.answers import SCRIPTS
from exportctl.store.database import Database
from exportctl.store.jobs import Jobs, KnownJob

FOLDER = Path(__file__).parents[2] / "completions"
WAIT_SECONDS = 60


@pytest.fixture
def place(tmp_path):
    """A folder to complete in, with `exportctl` on the path before any other."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "exportctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exportctl "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    for folder in ("images/inner", "my folder"):
        (work / folder).mkdir(parents=True)
    (work / "options.json").touch()
    return work


def environment(place):
    return {**os.environ, "PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}", "HOME": str(place), "TERM": "xterm"}


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


# The shell's terminal must be its controlling one; forking here instead would warn where other tests left threads.
LAUNCH = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """An interactive shell, driven as by hand."""

    def __init__(self, place, shell):
        self.seen = b""
        self.end, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *shell],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=place,
            env=environment(place),
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, text):
        os.write(self.end, text.encode())

    def until(self, mark):
        """Return what was written before `mark`, which the shell must come to write."""
        deadline = time.monotonic() + WAIT_SECONDS
        while mark not in self.seen:
            ready, _, _ = select.select([self.end], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"never came: {mark!r}; but: {self.seen!r}"
            self.seen += os.read(self.end, 65536)
        before, _, self.seen = self.seen.partition(mark)
        return before.decode("utf-8", "replace")

    def completed(self, line):
        """Return the command line after `line` and the tab key."""
        self.type(f"{line}\t\x18b")
        self.until(b"LINE<")
        found = self.until(b">ENIL")
        self.type("\x15")
        return found

    def close(self):
        """Hang up, at which the shell ends."""
        os.close(self.end)
        self.process.wait(WAIT_SECONDS)


SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
SETUP = {
    "bash": """
bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
bind -x '"\\C-xb":echo "LINE<$READLINE_LINE>ENIL"'
source <(exportctl completion bash)
""",
    "zsh": """
unsetopt zle_bracketed_paste beep
autoload -Uz compinit; compinit -u -D
show() { print -r -- "LINE<$BUFFER>ENIL" }; zle -N show; bindkey '^Xb' show
source <(exportctl completion zsh)
""",
}


@pytest.fixture
def terminal(place, request):
    opened = Terminal(place, SHELLS[request.param])
    opened.type(f"{SETUP[request.param]}echo REA''DY\n")
    opened.until(b"READY\r\n")
    yield opened
    opened.close()


LINES = {
    "exportctl ru": "exportctl run ",
    "exportctl run --progre": "exportctl run --progress ",
    "exportctl run --progress b": "exportctl run --progress bars ",
    "exportctl run --progress=b": "exportctl run --progress=bars ",
    "exportctl run sam": "exportctl run sample ",
    "exportctl run ima": "exportctl run images/",
    "exportctl run my": "exportctl run my\\ folder/",
    "exportctl run ~/ima": "exportctl run ~/images/",
    "exportctl run opt": "exportctl run opt",
    "exportctl run --options opt": "exportctl run --options options.json ",
    "exportctl run --options=opt": "exportctl run --options=options.json ",
    "exportctl run x --annotations yolo,c": "exportctl run x --annotations yolo,coco ",
    "exportctl nonsense x": "exportctl nonsense x",
}


@pytest.mark.parametrize("terminal", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS], indirect=True)
def test_the_tab_key_completes_commands_options_values_files_and_folders(terminal):
    assert {line: terminal.completed(line) for line in LINES} == LINES


@pytest.fixture
def known(place, monkeypatch):
    """A store in the place's home that knows one job."""
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    jobs = Jobs(database=Database(folder=state_folder()))
    jobs.begin(
        KnownJob(
            server="https://export.example.org",
            job_id="6f0c2b7e-0000-4000-8000-00000000bbbb",
            project_id="p1",
            project_title="plate 7: Zellen",
        )
    )
    jobs.database.close()


KNOWN = {
    "exportctl status 6f": "exportctl status 6f0c2b7e-0000-4000-8000-00000000bbbb ",
    "exportctl follow p1/": "exportctl follow p1/6f0c2b7e-0000-4000-8000-00000000bbbb ",
    "exportctl cancel @": "exportctl cancel @last ",
    "exportctl start pl": "exportctl start plate\\ 7:\\ Zellen ",
    "exportctl run pl": "exportctl run plate\\ 7:\\ Zellen ",
}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("terminal", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS], indirect=True)
def test_the_tab_key_completes_jobs_and_titles_that_this_machine_knows(terminal):
    found = {line: terminal.completed(line).replace(r"\:", ":") for line in KNOWN}
    assert found == KNOWN


@needs("fish")
@pytest.mark.usefixtures("known")
def test_fish_offers_jobs_and_titles_that_this_machine_knows(place):
    def offered(line):
        asked = f"source {FOLDER / 'exportctl.fish'}; complete -C {line!r}"
        words = ["fish", "--no-config", "-c", asked]
        ended = subprocess.run(words, capture_output=True, text=True, cwd=place, env=environment(place), check=True)
        return ended.stdout.splitlines()

    job = "6f0c2b7e-0000-4000-8000-00000000bbbb"
    assert offered("exportctl status 6f") == [f"{job}\tplate 7: Zellen unfinished"]
    assert offered("exportctl start pl") == ["plate 7: Zellen"]


@needs("fish")
def test_fish_offers_commands_options_values_files_and_folders(place):
    def offered(line):
        asked = f"source {FOLDER / 'exportctl.fish'}; complete -C {line!r}"
        ended = subprocess.run(
            ["fish", "--no-config", "-c", asked],
            capture_output=True,
            text=True,
            cwd=place,
            env=environment(place),
            timeout=WAIT_SECONDS,
            check=True,
        )
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    assert offered("exportctl ru") == ["run\tStart an export, follow it, download and verify the archive."]
    assert [line.partition("\t")[0] for line in offered("exportctl run --pro")] == ["--profile", "--progress"]
    assert offered("exportctl run --progress=b") == ["--progress=bars"]
    assert offered("exportctl run sa") == ["sample"]
    assert offered("exportctl run ") == ["images/", "my folder/", "sample"]
    assert offered("exportctl run --options opt") == ["options.json"]
    assert offered("exportctl run --options=opt") == ["--options=options.json"]
    assert offered("exportctl run x --annotations yolo,c") == ["yolo,coco"]
    assert offered("exportctl nonsense x") == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_command_prints_the_script_of_the_repository(shell):
    printed = subprocess.run([sys.executable, "-m", "exportctl", "completion", shell], capture_output=True, check=True)
    assert printed.stdout == (FOLDER / SCRIPTS[shell]).read_bytes()


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in SCRIPTS])
def test_the_script_is_sound_to_its_shell(shell):
    check = subprocess.run([shell, "-n", FOLDER / SCRIPTS[shell]], capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
