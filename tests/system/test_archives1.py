"""Archives of protocol 1: one file for all jobs of a project, weak validators, requests that are never answered."""

import signal
import zipfile
from pathlib import Path

import pytest

from production import acts
from production.acts import Event, Moment
from production.plan import Plan
from production.serving import serving
from production.site import FIRST, beat
from system.lab1 import asked, begin, read_until, rest_of
from system.processes import end_of, until

BIG = Plan(images=6, image_bytes=400_000)


@pytest.fixture
def production():
    with serving(plans=[BIG]) as found:
        yield found


def finished(production, plan=None):
    """Return a job that has completed, its archive there."""
    if plan is not None:
        production.site.plans = [plan]
    job = begin(production)
    until(lambda: not job.is_working, "the job to end")
    return job


def download(command, production, job, *more):
    return command.run(*asked(production, "download", f"{FIRST}/{job.id}", "-o", "x.zip", *more))


def codes(ended):
    return [line["code"] for line in ended.lines if line["event"] == "log"]


def interrupted(command, production, job):
    """Fetch a part of the archive and be killed; return the partial."""
    process = command.start(
        *asked(production, "download", f"{FIRST}/{job.id}", "-o", "x.zip", "--limit-rate", "300k"), bufsize=0
    )
    read_until(process, lambda line: (line.get("bytes") or 0) > 30_000)
    process.kill()
    process.communicate()
    [part] = command.folder.glob("*.part")
    assert 0 < part.stat().st_size < len(job.archive)
    return part


def test_what_was_fetched_is_gone_on_with_under_a_weak_validator_and_checked_whole(command, production):
    job = finished(production)
    size = interrupted(command, production, job).stat().st_size
    ended = download(command, production, job)
    assert (ended.status, ended.result["verified"]) == (0, True)
    assert ended.result["stats"]["resumedFrom"] == size
    assert Path(ended.result["file"]).read_bytes() == job.archive
    assert production.site.unanswered == []


def test_a_partial_that_is_complete_is_never_asked_for_at_its_end(command, production):
    """That request would never be answered (10)."""
    job = finished(production)
    part = interrupted(command, production, job)
    with part.open("ab") as file:
        file.write(job.archive[part.stat().st_size :])
    ended = download(command, production, job)
    assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
    assert production.site.unanswered == []
    assert Path(ended.result["file"]).read_bytes() == job.archive


def test_an_archive_that_another_job_replaced_between_two_commands_is_not_taken_for_the_old(command, production):
    job = finished(production)
    interrupted(command, production, job)
    finished(production, Plan(images=5, image_bytes=400_000))
    ended = download(command, production, job)
    assert (ended.status, ended.result["error"]["code"]) == (5, "ARCHIVE_REPLACED"), ended.stderr
    assert list(command.folder.iterdir()) == []


@pytest.mark.parametrize(("images", "pieces"), [(6, 1), (5, 40), (6, 140)])
def test_an_archive_that_is_replaced_in_the_middle_of_an_answer_is_never_a_mixture(command, images, pieces):
    """The server writes in place, under the very file that it is sending."""
    events = (Event(Moment(pieces, "pieces"), acts.Another()),)
    plans = [BIG, Plan(images=images, image_bytes=400_000)]
    with serving(plans=plans, events=events) as production:
        job = finished(production)
        production.site.plans = plans[-1:]
        ended = download(command, production, job)
        whole = production.site.shelf.versions[FIRST]
    left = list(command.folder.iterdir())
    assert ended.status in {0, 8}, ended.stderr
    assert [path.read_bytes() in whole for path in left] == ([True] if ended.status == 0 else [])


def test_an_archive_cut_on_the_disk_is_eight_though_its_length_matches(command, production):
    job = finished(production)
    production.act(acts.CutArchive())
    ended = download(command, production, job)
    assert ended.status == 8, ended.stderr
    assert list(command.folder.iterdir()) == []


def test_an_archive_that_is_being_written_for_another_job_is_no_archive(command, production):
    job = finished(production)
    site = production.site
    site.hold(95, lambda: site.counts["steps"] > 500)
    begin(production)
    until(lambda: site.shelf.path(FIRST).stat().st_size < len(job.archive), "the archive to be cut")
    ended = download(command, production, job)
    assert ended.status in {5, 8}, ended.stderr
    assert list(command.folder.iterdir()) == []


def test_an_archive_that_is_gone_is_five_with_what_to_do_and_leaves_no_partial(command, production):
    job = finished(production)
    interrupted(command, production, job)
    production.act(acts.RemoveArchive())
    ended = download(command, production, job)
    assert (ended.status, ended.result["error"]["code"]) == (5, "ARCHIVE_GONE")
    assert "exportctl run" in ended.result["error"]["hint"]
    assert list(command.folder.iterdir()) == []


def test_a_restart_in_the_middle_of_a_download_is_five_and_says_that_the_job_is_forgotten(command, production):
    job = finished(production, Plan(image_bytes=6_000_000))  # more than lies in the buffers on the way
    arguments = asked(production, "download", f"{FIRST}/{job.id}", "-o", "x.zip", "--limit-rate", "3M")
    process = command.start(*arguments)
    head, _ = read_until(process, lambda line: (line.get("bytes") or 0) > 30_000)
    production.act(acts.Restart())
    ended = rest_of(process, head)
    assert (ended.status, ended.result["error"]["code"]) == (5, "FORGOTTEN")
    assert "exportctl run" in ended.result["error"]["hint"]
    assert list(command.folder.iterdir()) == []


def test_a_finished_archive_is_kept_and_named_when_the_server_forgot_its_job(command, production):
    ended = command.run("run", "small", "--server", production.url, "--ndjson", "-o", "x.zip")
    assert ended.status == 0, ended.stderr
    production.act(acts.Restart())
    for name in ("download", "follow", "status", "cancel"):
        again = command.run(name, ended.result["jobId"], "--ndjson")
        assert again.status == 5
        assert str(command.folder / "x.zip") in again.result["error"]["message"]
    assert command.run("resume").status == 0
    assert zipfile.ZipFile(command.folder / "x.zip").testzip() is None


def test_a_job_that_is_cancelled_when_it_has_completed_has_no_archive_any_more(command):
    """This server takes such a cancellation at its word."""
    with serving(plans=[BIG]) as production:
        job = finished(production)
        process = command.start(
            *asked(production, "download", f"{FIRST}/{job.id}", "-o", "x.zip", "--limit-rate", "1M")
        )
        head, _ = read_until(process, lambda line: (line.get("bytes") or 0) > 30_000)
        production.do(lambda: production.site.cancel(job))
        ended = rest_of(process, head)
    assert ended.status == 0, ended.stderr  # what is being sent is sent to its end
    assert (command.folder / "x.zip").read_bytes() == job.archive


def test_a_run_that_was_killed_under_its_download_is_resumed_and_verified(command):
    with serving(plans=[BIG], pace=beat(0.0)) as production:
        process = command.start(
            "run", "small", "--server", production.url, "--ndjson", "-o", "x.zip", "--limit-rate", "300k"
        )
        read_until(process, lambda line: (line.get("bytes") or 0) > 30_000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = end_of(command.start("resume", "--ndjson"), 60, "resume")
        job = production.site.first()
    assert ended.status == 0, ended.stderr
    assert ended.result["stats"]["resumedFrom"] > 0
    assert (command.folder / "x.zip").read_bytes() == job.archive
