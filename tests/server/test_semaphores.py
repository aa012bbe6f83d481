"""A server that is killed with all its processes leaves names in memory, which the next one takes away."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exportctl.server.semaphores import clear_semaphores

SHM = Path("/dev/shm")
WORKS = """
import os, sys
from exportctl.server.crew import ProcessCrew
crew = ProcessCrew(1)
crew.executor.submit(os.getpid).result()
print("ready", flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.skipif(not SHM.is_dir(), reason="semaphores are files on Linux only")


def names_of(pid):
    return {path.name for path in SHM.iterdir() if f"-{pid}-" in path.name}


def test_names_of_killed_servers_go_at_the_next_start_and_those_of_others_stay():
    command = [sys.executable, "-c", f"if __name__ == '__main__':\n    exec({WORKS!r})"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen(command, start_new_session=True, **pipes) as killed,
        subprocess.Popen(command, start_new_session=True, **pipes) as alive,
    ):
        try:
            assert killed.stdout.readline() == alive.stdout.readline() == b"ready\n"
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait()
            theirs = names_of(alive.pid)
            assert names_of(killed.pid)
            assert theirs
            clear_semaphores()
            assert names_of(killed.pid) == set()
            assert names_of(alive.pid) == theirs
        finally:
            alive.communicate()
            if killed.poll() is None:
                os.killpg(killed.pid, signal.SIGKILL)
    assert names_of(alive.pid) == set(), "a server that ends by itself leaves nothing"
