"""The same `run` after it was interrupted: it goes on with the archive that partly came, and starts nothing twice."""

import signal

import pytest

from exportctl.server.export.sample import make_sample
from system.processes import until

SHOWN = ["--ndjson", "--progress", "none", "--no-live"]


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again") / "plates"
    make_sample(folder, 3)
    return folder


@pytest.fixture
def run(serve, plates):
    served = serve(plates)

    def words(*more):
        return ["run", "plates", *served.options, *SHOWN, *more]

    return words


def interrupted(exportctl, words, number=signal.SIGKILL):
    """Run until a part of the archive is on disk, and end the command there; return how many bytes are."""
    with exportctl.start(*words, "--limit-rate", "100k") as process:
        until(lambda: any(part.stat().st_size for part in exportctl.folder.glob(".*.part")), "the first bytes")
        process.send_signal(number)
        process.communicate()
    [part] = exportctl.folder.glob(".*.part")
    return part.stat().st_size


def jobs(exportctl):
    return {line["jobId"] for line in exportctl.run("list", "--ndjson").lines if line["event"] == "job"}


@pytest.mark.parametrize("output", [[], ["-o", "x.zip"]], ids=["a name with the job", "a name given"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_the_same_command_goes_on_at_the_last_byte(exportctl, run, output, number):
    had = interrupted(exportctl, run(*output), number)
    [job] = jobs(exportctl)
    ended = exportctl.run(*run(*output))
    assert ended.status == 0, ended.stderr
    assert (ended.result["jobId"], ended.result["stats"]["resumedFrom"]) == (job, had)
    assert "interrupted-before" in [line.get("code") for line in ended.lines]
    assert jobs(exportctl) == {job}


def test_what_was_interrupted_is_gone_on_with_once(exportctl, run):
    interrupted(exportctl, run())
    first = exportctl.run(*run())
    second = exportctl.run(*run())
    assert first.status == second.status == 0
    assert first.result["jobId"] != second.result["jobId"]


@pytest.mark.parametrize("more", [["-o", "y.zip"], ["--no-docs"], ["--overwrite"], ["--no-state"]], ids=" ".join)
def test_another_command_starts_an_export_of_its_own(exportctl, run, more):
    interrupted(exportctl, run("-o", "x.zip"))
    [job] = jobs(exportctl)
    output = [] if "-o" in more else ["-o", "x.zip"]
    ended = exportctl.run(*run(*output, *more))
    assert ended.status == 0, ended.stderr
    assert ended.result["jobId"] != job
