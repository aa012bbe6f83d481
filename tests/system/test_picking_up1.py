"""Picking up and cancelling from another command on protocol 1, through what network and server do in the lab."""

import os
import shutil

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from people_server import EMAIL, PASSWORD, People
from production.serving import serving
from production.site import FIRST, SAFE_PROGRESS, beat
from system.judging import check_files, check_lines, verdicts
from system.lab1 import EVENT, begin, read_until, schedules
from system.processes import command_in, end_of
from system.proxy import Proxy

SCHEDULES = int(os.environ.get("EXPORTCTL_FAULTS", "2"))
HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
SCHEDULE = st.one_of(st.just(([], [])), schedules())


def laboratory(folder):
    command = command_in(folder)
    command.environment |= {"EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD}
    return command


@settings(max_examples=SCHEDULES, suppress_health_check=HEALTH)
@given(schedule=SCHEDULE, after=st.integers(2, 30))
def test_a_run_that_is_killed_at_any_instant_is_resumed_to_what_is_true(tmp_path_factory, schedule, after):
    folder = tmp_path_factory.mktemp("picking")
    command = laboratory(folder)
    done, faults = schedule
    with (
        serving(people=People(), events=tuple(done), pace=beat(0.02)) as production,
        Proxy(production.url, tuple(faults), event=EVENT) as proxy,
    ):
        site = production.site
        process = command.start("run", "small", "--server", proxy.url, "--ndjson", "--progress", "none")
        count = iter(range(after))
        read_until(process, lambda _: next(count, None) is None)
        process.kill()
        process.communicate()
        saved = list(command.folder.glob("*.zip"))
        ended = end_of(command.start("resume", "--ndjson", "--progress", "none"), 90, (site.happened, proxy.happened))
        note = (site.happened, proxy.happened, ended.status, [job.became for job in site.all_jobs], ended.stderr)
        check_lines(ended)
        assert "Traceback" not in ended.stderr, note
        assert site.unanswered == [], note
        result = ended.result
        job = next((job for job in site.all_jobs if job.id == result["jobId"]), None)
        event(f"resume ended with {ended.status}, {'a' if job else 'no'} job")
        if job is not None:
            assert ended.status in verdicts(site, job, fetches=True), (note, ended.lines)
            check_files(ended, command, site, job)
        elif ended.status == 0 and site.all_jobs:
            # Nothing was left to do: the archive is there, or the run had told another end, or not asked yet.
            assert saved or after <= 2 or site.first().became != ["completed"], (note, ended.lines)
    shutil.rmtree(folder)


@settings(max_examples=SCHEDULES, suppress_health_check=HEALTH)
@given(schedule=SCHEDULE, transport=st.sampled_from(["auto", "polling"]), at=st.sampled_from([0, 5, 41, 95, 101]))
def test_cancel_tells_what_truly_became_of_the_job(tmp_path_factory, schedule, transport, at):
    folder = tmp_path_factory.mktemp("cancel")
    command = laboratory(folder)
    done, faults = schedule
    with serving(people=People(), events=tuple(done), pace=beat(0.02)) as production:
        site = production.site
        site.hold(at, lambda: site.counts["cancel"] or (at < SAFE_PROGRESS and site.counts["status"] > 1))
        job = begin(production)
        with Proxy(production.url, tuple(faults), event=EVENT) as proxy:
            arguments = ["cancel", f"{FIRST}/{job.id}", "--server", proxy.url, "--transport", transport]
            process = command.start(*arguments, "--poll-interval", "0.2", "--ndjson")
            ended = end_of(process, 90, (site.happened, proxy.happened))
        note = (site.happened, proxy.happened, ended.status, job.became, job.cancels, ended.stderr, ended.lines)
        check_lines(ended)
        event(f"cancel ended with {ended.status}, {ended.result['outcome']}")
        assert "Traceback" not in ended.stderr, note
        assert site.crashes == 0, note
        if ended.status == 0:
            assert ended.result["outcome"] in job.became, note
        else:
            assert (ended.status, "forgotten" in job.became) == (5, True), note
        ends = [line["event"].removeprefix("export:") for line in ended.lines if line["event"].startswith("export:")]
        assert "failed" not in ends or "failed" in job.became, note
    shutil.rmtree(folder)
