"""The fault lab, its heaviest hand: the server is killed or stopped and started again, with the job half done."""

import shutil
import signal
import zipfile

import orjson
import pytest

from exportctl.server.export.sample import make_sample
from system.processes import Command, Ended, Served, command_in, descendants_in, end_of, until
from system.telling import check_form, stories, story

ASKED = ["--ndjson", "--progress", "none", "--transport"]


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restarts") / "plates"
    make_sample(folder, 60)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(tmp_path, plates):
    """Servers on one state folder, one after the other, and commands beside them."""
    (tmp_path / "server").mkdir()
    place = Place(tmp_path, plates)
    yield place
    place.served.end()
    shutil.rmtree(tmp_path / "state")


class Place:
    def __init__(self, folder, plates):
        self.folder, self.plates = folder, plates
        self.host = Command(folder=folder, home=folder / "server")
        self.command = command_in(folder)
        self.served = self.begin()

    def begin(self, port=0):
        return Served.start(self.host, self.plates, state=self.folder / "state", port=port)

    def restart(self, number):
        """End the server by this signal, its workers with it, and start it again where it was."""
        self.served.end(number)
        until(lambda: not descendants_in(self.host.home), "the workers of the server to end", 15)
        self.served = self.begin(self.served.port)

    def start(self, *arguments):
        # Unbuffered: what is read line by line must not hide what `communicate` reads later.
        return self.command.start(*arguments, *self.served.options, bufsize=0)

    def undisturbed(self, result):
        job = f"{result['projectId']}/{result['jobId']}"
        return story(self.command.run("follow", job, *self.served.options, "--ndjson", "--progress", "none"))


def is_at(moment):
    """Return whether a line is the moment: an event, or one of a phase."""
    event, _, phase = moment.partition(" ")
    return lambda line: line["event"] == event and (not phase or line["phase"] == phase)


def through(process, moment, happen) -> Ended:
    """Read lines up to the moment, let it happen, and return the whole command."""
    head = b""
    for line in process.stdout:
        head += line
        if is_at(moment)(orjson.loads(line)):
            break
    happen()
    ended = end_of(process, 60, moment)
    return Ended(status=ended.status, stdout=head + ended.stdout, stderr=ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("transport", ["auto", "polling"])
@pytest.mark.parametrize("moment", ["connection:changed", "export:started", "export:progress processing"])
def test_a_restart_under_a_running_job_costs_the_story_nothing(place, number, transport, moment):
    process = place.start("run", "plates", "--no-images", *ASKED, transport)
    ended = through(process, moment, lambda: place.restart(number))
    check_form(ended, place.command)
    told = story(ended)
    assert [line["serverSeq"] for line in told] == list(range(1, len(told) + 1))
    assert told == place.undisturbed(ended.result)
    assert (ended.status, ended.result["outcome"]) == (0, "completed")
    [path] = place.command.folder.iterdir()
    assert zipfile.ZipFile(path).testzip() is None


def test_a_restart_during_the_download_costs_no_byte_twice(place):
    # A server killed between an entry and its line in the ledger cannot know what of it was read, and begins another
    # archive: so it is killed when this one is whole, and still read along.
    process = place.start("run", "plates", "--no-images", "--limit-rate", "6M", *ASKED, "auto")
    ended = through(process, "export:phase-changed", lambda: place.restart(signal.SIGKILL))
    check_form(ended, place.command)
    assert (ended.status, ended.result["verified"]) == (0, True)
    said = {line.get("code") for line in ended.lines}
    assert "download-interrupted" in said
    assert "download-restarted" not in said
    assert story(ended) == place.undisturbed(ended.result)
    [path] = place.command.folder.iterdir()
    assert zipfile.ZipFile(path).testzip() is None


def test_a_server_killed_between_two_commands_still_tells_the_story_and_has_the_archive(place):
    first = place.command.run("run", "plates", "--no-images", *place.served.options, *ASKED, "auto")
    place.restart(signal.SIGKILL)
    assert place.undisturbed(first.result) == story(first)
    job = f"{first.result['projectId']}/{first.result['jobId']}"
    again = place.command.run("download", job, *place.served.options, "--ndjson", "-o", "again.zip")
    assert (again.status, again.result["sha256"]) == (0, first.result["sha256"])


def test_many_jobs_in_one_command_each_have_their_end_over_a_restart(place):
    started = [place.command.run("start", "plates", *place.served.options, "-q") for _ in range(6)]
    jobs = [one.stdout.decode().strip() for one in started]
    process = place.start("follow", *jobs, *ASKED, "auto")
    ended = through(process, "export:progress", lambda: place.restart(signal.SIGKILL))
    assert "Traceback" not in ended.stderr
    results = {line["jobId"]: line for line in ended.lines if line["event"] == "result"}
    assert set(results) == {job.partition("/")[2] for job in jobs}
    told = stories(ended)
    for job, result in results.items():
        assert [line["serverSeq"] for line in told[job]] == list(range(1, len(told[job]) + 1))
        assert told[job] == place.undisturbed(result)
    assert (ended.status, {result["outcome"] for result in results.values()}) == (0, {"completed"})
