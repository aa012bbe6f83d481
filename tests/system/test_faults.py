"""The fault lab: whatever the network does between start and finish, one story is told once, in order, and ends well.

The real command, a real server, and between them a proxy that is unkind by schedule. Hypothesis draws the schedules,
prints the seed of a failing one, shrinks it and keeps it in its example database; those that once failed stand below as
explicit examples. `EXPORTCTL_FAULTS` says how many are drawn.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exportctl.server.export.sample import make_sample
from system import drawn
from system.processes import Command, Ended, Served, command_in, end_of
from system.proxy import (
    After,
    Fault,
    Proxy,
)
from system.telling import check_form, stories, story

SCHEDULES = int(os.environ.get("EXPORTCTL_FAULTS", "6"))
DEADLINE = 60.0
"""Seconds that no schedule needs: more is a hang."""
PAST = ["--no-state"]
"""Past the proxy: a job that is known by the proxy's address is not to be followed at another."""


@dataclass(kw_only=True)
class Lab:
    """A server with one project, and room for commands."""

    folder: Path
    served: Served
    commands: int = 0

    def command(self) -> Command:
        """Return a command with a home of its own."""
        self.commands += 1
        return command_in(self.folder / f"command-{self.commands}")

    def start(self, command: Command) -> str:
        """Start a job past all faults and return its `PROJECT/JOB`."""
        started = command.run("start", "plates", *self.served.options, *PAST, "--no-images", "-q")
        assert started.status == 0, started.stderr
        return started.stdout.decode().strip()

    def undisturbed(self, command: Command, job: str) -> list[dict]:
        """Return the story of the job as it is told where nothing happens on the way."""
        ended = command.run("follow", job, *self.served.options, *PAST, "--ndjson", "--progress", "none")
        assert ended.status == 0, (ended.stderr, ended.lines)
        return story(ended)

    def forget_archives(self) -> None:
        """Make room on the disk."""
        for archive in (self.folder / "state" / "jobs").glob("*"):
            shutil.rmtree(archive)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("faults")
    make_sample(folder / "plates", 60)
    (folder / "home").mkdir()
    command = Command(folder=folder, home=folder / "home")
    served = Served.start(command, folder / "plates", state=folder / "state")
    try:
        yield Lab(folder=folder, served=served)
    finally:
        served.end()
        shutil.rmtree(folder)


def check_story(ended: Ended, lab: Lab, command: Command) -> None:
    """Assert that the command told of its job what the server holds, once, in order, to the end."""
    told = story(ended)
    assert [line["serverSeq"] for line in told] == list(range(1, len(told) + 1))
    project, job = ended.result["projectId"], ended.result["jobId"]
    assert told == lab.undisturbed(command, f"{project}/{job}")
    page = httpx.get(
        f"{lab.served.url}/api/projects/{project}/export/{job}/events",
        params={"after": 0, "limit": 1000},
        headers={"Authorization": f"Bearer {lab.served.token}"},
    ).json()
    assert [line["event"] for line in told] == [one["event"] for one in page["events"]]
    for line, one in zip(told, page["events"], strict=True):
        assert line["serverSeq"] == one["data"]["seq"]
        assert all(line[key] == one["data"][key] for key in ("message", "progress", "template") if key in line)


def check_archive(ended: Ended, command: Command) -> None:
    """Assert that the archive is there, whole, the one announced, and nothing beside it."""
    [ready] = [line for line in ended.lines if line["event"] == "export:download-ready"]
    [path] = command.folder.iterdir()
    assert ended.result["file"] == str(path)
    assert ended.result["verified"] is True
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ready["sha256"] == ended.result["sha256"]
    assert zipfile.ZipFile(path).testzip() is None


# The archive has about 25 MB, the story about 15 kB: moments lie where something happens.
MOMENTS = st.one_of(
    st.builds(After, st.integers(1, 22), st.just("events")),
    st.builds(After, st.integers(1, 12), st.just("connections")),
    st.builds(After, st.one_of(st.integers(1, 20_000), st.integers(20_000, 25_000_000)), st.just("down")),
    st.builds(After, st.integers(1, 4_000), st.just("up")),
)
ACTS = drawn.faults(0.1, 0.3, 0.6)


SCHEDULE = st.lists(st.builds(Fault, MOMENTS, ACTS), min_size=1, max_size=6).filter(
    lambda faults: sum(drawn.cost(fault.act) for fault in faults) <= drawn.MOST_ATTEMPTS
)


@settings(max_examples=SCHEDULES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    schedule=SCHEDULE,
    name=st.sampled_from(["run", "run", "follow"]),
    transport=st.sampled_from(["auto", "auto", "socket", "polling"]),
)
def test_no_schedule_of_faults_changes_the_story_or_its_end(lab, schedule, name, transport):
    command = lab.command()
    target = "plates" if name == "run" else lab.start(command)
    with Proxy(lab.served.url, tuple(schedule)) as proxy:
        arguments = [name, target, "--server", proxy.url, "--token", lab.served.token, "--ndjson"]
        arguments += ["--progress", "none", "--transport", transport]
        ended = end_of(command.start(*arguments, *(["--no-images"] if name == "run" else [])), DEADLINE, proxy.happened)
    assert ended.status == 0, (proxy.happened, ended.stderr, ended.lines)
    check_form(ended, command)
    assert ended.result["outcome"] == "completed"
    check_story(ended, lab, command)
    if name == "run":
        check_archive(ended, command)
    lab.forget_archives()
    shutil.rmtree(command.folder.parent)


@settings(max_examples=max(3, SCHEDULES // 8), suppress_health_check=[HealthCheck.too_slow])
@given(schedule=SCHEDULE, transport=st.sampled_from(["auto", "socket", "polling"]))
def test_many_jobs_on_one_socket_each_keep_their_story(lab, schedule, transport):
    command = lab.command()
    jobs = [lab.start(command) for _ in range(4)]
    with Proxy(lab.served.url, tuple(schedule)) as proxy:
        arguments = ["--server", proxy.url, "--token", lab.served.token, "--ndjson", "--transport", transport]
        ended = end_of(command.start("follow", *jobs, *arguments, "--progress", "none"), DEADLINE, proxy.happened)
    assert ended.status == 0, (proxy.happened, ended.stderr, ended.lines)
    assert "Traceback" not in ended.stderr
    told = stories(ended)
    ids = [job.partition("/")[2] for job in jobs]
    assert sorted(line["jobId"] for line in ended.lines if line["event"] == "result") == sorted(ids)
    for job_id, job in zip(ids, jobs, strict=True):
        assert told[job_id] == lab.undisturbed(command, job)
        of_job = [line for line in ended.lines if line["jobId"] == job_id]
        assert of_job[-1]["event"] == "result"
    lab.forget_archives()
    shutil.rmtree(command.folder.parent)
