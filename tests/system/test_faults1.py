"""The fault lab for protocol 1: whatever the network and the server do, `run` and `follow` end with what is true.

The real command, a server that behaves as the one in production, and between them the proxy. Events are not numbered
there and may be lost, so the property is not one story: it is one result, one end, progress that never falls, and the
verdict that the server's own memory gives. Hypothesis draws the schedules as in `test_faults`; `EXPORTCTL_FAULTS` says
how many.
"""

import os
import shutil

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from people_server import EMAIL, PASSWORD, People
from production import acts
from production.acts import Event, Moment
from production.jobs import Job
from production.plan import Plan
from production.serving import Production, serving
from production.site import FIRST, beat
from system.judging import check_end, check_files, verdicts
from system.processes import Ended, command_in, end_of
from system.proxy import After, Answer, Cut, Delay, Fault, Leave, Proxy, Refuse, RefuseUpgrades, Stall, Tear

SCHEDULES = int(os.environ.get("EXPORTCTL_FAULTS", "5"))
DEADLINE = 90.0
"""Seconds that no schedule needs: more is a hang."""
MOST_ATTEMPTS = 4
"""Failed attempts of one request that a schedule may cost at most: one below what the client makes."""
EVENT = b'42["export:'
BEAT = 0.02

MOMENTS = st.one_of(
    st.builds(Moment, st.integers(1, 26), st.just("steps")),
    st.builds(Moment, st.integers(1, 4), st.sampled_from(["status", "handshakes"])),
    st.builds(Moment, st.integers(1, 2), st.sampled_from(["start", "head", "download", "history"])),
    st.builds(Moment, st.integers(1, 8), st.just("pieces")),
)
SLOW = st.builds(acts.Slow, st.sampled_from(["status", "history", "cancel", "head", "download"]), st.integers(1, 20))
ACTS = st.one_of(
    st.just(acts.Restart()),
    st.builds(acts.PlannedStop, st.integers(1, 6)),
    st.just(acts.CancelElsewhere()),
    st.sampled_from([acts.EndAccess(), acts.EndSession()]),
    st.just(acts.Another()),
    st.sampled_from([acts.CutArchive(), acts.RemoveArchive()]),
    st.just(acts.DropSockets()),
    st.builds(acts.Mute, st.integers(1, 12)),
    st.just(acts.LoseAnswer()),
    st.just(acts.RefuseHandshakes(1)),
    SLOW,
)
THROUGH = st.one_of(
    st.builds(After, st.integers(1, 22), st.just("events")),
    st.builds(After, st.integers(1, 10), st.just("connections")),
    st.builds(After, st.one_of(st.integers(1, 12_000), st.integers(12_000, 130_000)), st.just("down")),
    st.builds(After, st.integers(1, 4_000), st.just("up")),
)
WAYS = st.sampled_from(["down", "up"])
SECONDS = st.sampled_from([0.1, 0.3])
FAULTS = st.one_of(
    st.builds(Cut, st.sampled_from(["reset", "end"])),
    st.builds(Stall, SECONDS),
    st.builds(Tear, WAYS, st.integers(1, 3_000)),
    st.builds(Delay, WAYS, st.integers(1, 10), st.sampled_from([0.01, 0.05])),
    st.builds(RefuseUpgrades, st.sampled_from([400, 403, 502]), st.integers(1, 3)),
    st.builds(Answer, st.sampled_from([502, 503]), st.integers(1, 3)),
    st.builds(Refuse, st.integers(1, 3)),
    st.builds(Leave, SECONDS),
)


def cost(act: object) -> int:
    """Return how many attempts of one request this act can make fail."""
    match act:
        case Answer(count=count) | Refuse(count=count):
            return count
        case Leave() | acts.Restart() | acts.PlannedStop():
            return 2
        case Cut():
            return 1
        case _:
            return 0


@st.composite
def schedules(draw) -> tuple[list[Event], list[Fault]]:
    done = draw(st.lists(st.builds(Event, MOMENTS, ACTS), max_size=4))
    faults = draw(st.lists(st.builds(Fault, THROUGH, FAULTS), min_size=0 if done else 1, max_size=4))
    kept, left = [], MOST_ATTEMPTS
    for one in [*done, *faults]:
        if cost(one.act) <= left:
            left -= cost(one.act)
            kept.append(one)
    return [one for one in kept if isinstance(one, Event)], [one for one in kept if isinstance(one, Fault)]


PLANS = st.one_of(
    st.just(Plan()),
    st.builds(Plan, answer_after=st.sampled_from([0, 1, 5, 40]), images=st.sampled_from([1, 3])),
    st.builds(Plan, fails_after=st.integers(1, 20)),
)


def attached(site) -> None:
    """Let jobs wait for the command before they go on."""
    site.hold(0, lambda: site.counts["status"] + site.counts["handshakes"])


def begin(production: Production) -> Job:
    """Start a job as another command of the same user would have."""

    async def beginning() -> Job:
        job = production.site.begin(FIRST, {}, "Spheroidy")
        await production.site.wait_for(job.answered.is_set)
        return job

    return production.do(beginning)


def of_the_command(site, ended: Ended) -> Job | None:
    return next((job for job in site.all_jobs if job.id == ended.result["jobId"]), None)


@settings(max_examples=SCHEDULES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    schedule=schedules(),
    plan=PLANS,
    name=st.sampled_from(["run", "run", "follow"]),
    transport=st.sampled_from(["auto", "auto", "auto", "polling"]),
    access_uses=st.sampled_from([None, 2, 5]),
)
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
        assert people.reused == 0 or faults or site.restarts, note
    shutil.rmtree(folder)
    return ended
