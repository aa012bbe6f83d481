"""The fault lab for protocol 1: whatever the network and the server do, `run` and `follow` end with what is true.

The real command, a server that behaves as the one in production, and between them the proxy. Events are not numbered
there and may be lost, so the property is not one story: it is one result, one end, progress that never falls, and the
verdict that the server's own memory gives. Hypothesis draws the schedules as in `test_faults`; `EXPORTCTL_FAULTS` says
how many.
"""

import os
import shutil

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from people_server import EMAIL, PASSWORD, People
from production import acts
from production.acts import Event, Moment
from production.plan import Plan
from production.serving import serving
from production.site import FIRST, beat
from system.judging import check_end, check_files, check_lines, verdicts
from system.lab1 import EVENT, asked, attached, begin, of_the_command, read_until, rest_of, schedules
from system.processes import Ended, command_in, end_of, until
from system.proxy import Proxy

SCHEDULES = int(os.environ.get("EXPORTCTL_FAULTS", "3"))
DEADLINE = 90.0
"""Seconds that no schedule needs: more is a hang."""
BEAT = 0.02

PLANS = st.one_of(
    st.just(Plan()),
    st.builds(Plan, answer_after=st.sampled_from([0, 1, 5, 40]), images=st.sampled_from([1, 3])),
    st.builds(Plan, fails_after=st.integers(1, 20)),
)


PLAIN = {"plan": Plan(), "name": "run", "transport": "auto", "access_uses": None}


@settings(max_examples=SCHEDULES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    schedule=schedules(),
    plan=PLANS,
    name=st.sampled_from(["run", "run", "follow"]),
    transport=st.sampled_from(["auto", "auto", "auto", "polling"]),
    access_uses=st.sampled_from([None, 2, 5]),
)
@example(schedule=([Event(Moment(15, "steps"), acts.PlannedStop(2))], []), **PLAIN)
@example(schedule=([Event(Moment(1, "steps"), acts.LoseAnswer())], []), **PLAIN)
def test_no_schedule_changes_the_verdict(tmp_path_factory, schedule, plan, name, **ways):
    ended = check(tmp_path_factory.mktemp("faults1"), schedule, plan, name, **ways)
    event(f"{name} ended with {ended.status}")


def check(folder, schedule, plan, name, *, transport="auto", access_uses=None) -> Ended:
    """Run one schedule and hold its end against what the server knows."""
    command = command_in(folder)
    command.environment |= {"EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD}
    done, faults = schedule
    people = People(access_uses=access_uses)
    with serving(people=people, plans=[plan, Plan()], events=tuple(done), pace=beat(BEAT)) as production:
        site = production.site
        attached(site)
        job = begin(production) if name == "follow" else None
        with Proxy(production.url, tuple(faults), event=EVENT) as proxy:
            target = "small" if job is None else f"{job.project_id}/{job.id}"
            arguments = [name, target, "--server", proxy.url, "--transport", transport, "--poll-interval", "0.2"]
            process = command.start(*arguments, "--ndjson", "--progress", "none")
            what = (site.happened, proxy.happened)
            ended = end_of(process, DEADLINE, what)
        job = job or of_the_command(site, ended)
        note = (what, ended.status, [one.became for one in site.all_jobs], site.unanswered, ended.stderr, ended.lines)
        check_end(ended, command)
        assert site.unanswered == [], note
        assert site.crashes == 0, note
        if job is None:
            # The start was lost on its way, there or back: then there is no such job, or none any more.
            assert ended.status == 7, note
            assert all("forgotten" in one.became for one in site.all_jobs if not one.is_of_another_command), note
        else:
            assert ended.status in verdicts(site, job, fetches=name == "run"), note
            if name == "run":
                check_files(ended, command, site, job)
        may_be_lost = faults or site.restarts or acts.EndSession.__name__ in " ".join(site.happened)
        assert people.reused == 0 or may_be_lost, note
    shutil.rmtree(folder)
    return ended


def test_many_jobs_of_one_command_each_have_their_own_end_over_a_restart(command):
    with serving(pace=beat(0.0)) as production:
        site = production.site
        jobs, going = [], [True]
        site.hold(23, lambda: going)
        for plan in (Plan(), Plan(fails_after=8)):
            site.plans = [plan]
            jobs.append(begin(production))
            until(lambda: site.running() is None, "the job to end")
        going.clear()
        jobs.append(begin(production))
        names = [f"{FIRST}/{job.id}" for job in jobs]
        process = command.start(*asked(production, "follow", *names, "--poll-interval", "0.2"))
        seen = []
        head, _ = read_until(process, lambda line: seen.append(line["event"]) or seen.count("result") == 2)
        production.act(acts.Restart())
        ended = rest_of(process, head)
    check_lines(ended)
    results = {line["jobId"]: line["exitCode"] for line in ended.lines if line["event"] == "result"}
    assert [results[job.id] for job in jobs] == [0, 3, 5]
    assert ended.status == 3
    assert "forgot the job" in ended.stderr
