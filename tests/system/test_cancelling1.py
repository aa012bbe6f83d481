"""Cancelling on protocol 1, where nothing is acknowledged, failures are told that are none, and too early is deadly.

A server that behaves as the one in production is what judges: it notes how far a job was when it was asked.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from people_server import EMAIL, PASSWORD, People
from production import acts
from production.acts import Event, Moment
from production.plan import Plan
from production.serving import serving
from production.site import FIRST, SECOND, TITLES, beat
from system.judging import check_lines
from system.lab1 import EVENT, asked, begin, of_the_command, read_until, rest_of, schedules
from system.processes import command_in, end_of, until
from system.proxy import Proxy

INSTANTS = int(os.environ.get("EXPORTCTL_FAULTS", "4"))
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def production():
    with serving(pace=beat(0.02)) as found:
        yield found


def names(lines):
    return [line["event"].removeprefix("export:") for line in lines if line["event"].startswith("export:")]


def ends_of(lines):
    return [name for name in names(lines) if name in {"completed", "failed", "cancelled"}]


def check_cancels(job) -> None:
    """Assert that nothing was asked before it was safe (6)."""
    for progress, seconds in job.cancels:
        assert progress >= 5
        assert seconds >= 0.5  # what the client waits at the least; never how long anything took


@settings(max_examples=INSTANTS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    number=st.sampled_from([signal.SIGINT, signal.SIGTERM]),
    after=st.integers(1, 30),
    transport=st.sampled_from(["auto", "polling"]),
    schedule=st.one_of(st.just(([], [])), schedules()),
    seconds=st.sampled_from([0.01, 0.05]),
    goes_on_from=st.sampled_from([101, 90]),
)
def test_a_signal_at_any_instant_cancels_once_and_safely(tmp_path_factory, number, after, transport, **knobs):
    command = command_in(tmp_path_factory.mktemp("cancelling1"))
    command.environment |= {"EXPORTCTL_EMAIL": EMAIL, "EXPORTCTL_PASSWORD": PASSWORD}
    done, faults = knobs["schedule"]
    with (
        serving(
            people=People(),
            events=tuple(done),
            pace=beat(knobs["seconds"]),
            goes_on_when_cancelled_from=knobs["goes_on_from"],
        ) as production,
        Proxy(production.url, tuple(faults), event=EVENT) as proxy,
    ):
        site = production.site
        process = command.start(*asked(proxy, "run", "small", "--transport", transport, "--poll-interval", "0.1"))
        count = iter(range(after))
        head, _ = read_until(process, lambda _: next(count, None) is None)
        process.send_signal(number)
        ended = rest_of(process, head, (site.happened, proxy.happened))
        job = of_the_command(site, ended)
        note = (
            site.happened,
            proxy.happened,
            ended.status,
            job and (job.became, job.cancels),
            ended.stderr,
            ended.lines,
        )
        assert site.crashes == 0, note
        assert site.unanswered == [], note
    check_lines(ended)
    assert "Traceback" not in ended.stderr, note
    assert ended.status in {-number, ended.result["exitCode"]}, note
    if job is not None:
        check_cancels(job)
        check_outcome(command, ended, job, note)


def check_outcome(command, ended, job, note) -> None:
    """Assert that what is told of a job that a signal was to cancel is true of it."""
    outcome, told = ended.result["outcome"], ends_of(ended.lines)
    if outcome in {"cancelled", "failed"}:
        assert outcome in job.became, note
        assert told == [outcome], note
    elif outcome == "completed":
        assert "completed" in job.became, note
        if ended.status < 0:
            assert (ended.result["file"], ended.result["error"]["code"]) == (None, "COMPLETED_FIRST"), note
    if outcome == "cancelled":
        claim = next(line for line in ended.lines if line["event"] == "export:cancelled")["cleanupCompleted"]
        assert claim in {True, None}, note
    if outcome in {"cancelled", "failed"} or (outcome == "completed" and ended.status < 0):
        assert list(command.folder.iterdir()) == [], note


@pytest.mark.parametrize("transport", ["auto", "polling"])
def test_cancel_waits_until_it_is_safe_and_tells_the_servers_claim(command, production, transport):
    site = production.site
    site.hold(23, lambda: site.counts["cancel"])
    job = begin(production)
    ended = command.run(*asked(production, "cancel", f"{FIRST}/{job.id}", "--transport", transport))
    check_lines(ended)
    assert (ended.status, ended.result["outcome"]) == (0, "cancelled"), ended.stderr
    assert ends_of(ended.lines) == ["cancelled"]
    assert len(job.cancels) == 1
    check_cancels(job)


@pytest.mark.parametrize("plan", [Plan(), Plan(fails_after=8)], ids=["completed", "failed"])
def test_a_job_that_has_ended_is_never_asked_to_end_again(command, production, plan):
    """This server takes it at its word: a completed job would be cancelled, and its archive gone."""
    production.site.plans = [plan]
    job = begin(production)
    until(lambda: not job.is_working, "the job to end")
    ended = command.run(*asked(production, "cancel", f"{FIRST}/{job.id}"))
    assert (ended.status, ended.result["outcome"]) == (0, job.status)
    assert production.site.counts["cancel"] == 0
    assert len(job.became) == 1


@pytest.mark.parametrize("name", [f"{FIRST}/{UNKNOWN}", "{second}/{job}", UNKNOWN])
def test_an_unknown_job_or_one_of_another_project_is_five_and_nothing_is_asked_of_it(command, production, name):
    job = begin(production)
    name = name.format(second=SECOND, job=job.id)
    ended = command.run(*asked(production, "cancel", name))
    assert ended.status == 5
    assert production.site.counts["cancel"] == 0
    assert "cancelled" not in job.became


def test_cancelling_twice_at_once_ends_once_in_both(command, production):
    production.site.hold(23, lambda: production.site.counts["cancel"])
    job = begin(production)
    both = [command.start(*asked(production, "cancel", f"{FIRST}/{job.id}")) for _ in range(2)]
    for process in both:
        ended = end_of(process, 60, "cancel")
        assert (ended.status, ended.result["outcome"]) == (0, "cancelled"), ended.stderr
        assert ends_of(ended.lines) in (["cancelled"], [])  # the second may have found it ended
    assert production.site.crashes == 0


@pytest.mark.parametrize(("name", "transport"), [("run", "auto"), ("follow", "auto"), ("run", "polling")])
def test_what_another_terminal_cancels_is_ten_here(command, production, name, transport):
    site = production.site
    site.hold(23, lambda: site.counts["cancel"])
    job = begin(production) if name == "follow" else None
    target = TITLES[SECOND] if job is None else f"{FIRST}/{job.id}"
    process = command.start(*asked(production, name, target, "--transport", transport, "--poll-interval", "0.1"))
    head, _ = read_until(process, lambda line: (line.get("progress") or 0) >= 5)
    other = command.run(*asked(production, "cancel", f"{site.first().project_id}/{site.first().id}"))
    ended = rest_of(process, head)
    assert (other.status, ended.status) == (0, 10), ended.stderr
    assert ends_of(ended.lines) == ["cancelled"]
    assert list(command.folder.iterdir()) == []


def test_a_job_cancelled_while_it_is_compressed_is_cancelled_though_its_file_is_made(command):
    with serving(pace=beat(0.02), goes_on_when_cancelled_from=90) as production:
        production.site.hold(90, lambda: production.site.counts["cancel"])
        process = command.start(*asked(production, "run", "small"))
        head, _ = read_until(process, lambda line: line.get("stage") == "compression")
        process.send_signal(signal.SIGINT)
        ended = rest_of(process, head)
        job = production.site.first()
    assert (ended.status, "failed" in names(ended.lines)) == (-signal.SIGINT, False)
    check_lines(ended)
    assert ended.result["outcome"] == "cancelled"
    assert ends_of(ended.lines) == job.became == ["cancelled"]
    assert list(command.folder.iterdir()) == []


def test_a_cancellation_whose_answers_are_slow_is_waited_for(command):
    events = (Event(Moment(2, "steps"), acts.Slow("cancel", 12)), Event(Moment(3, "steps"), acts.Slow("status", 9)))
    with serving(pace=beat(0.05), events=events, plans=[Plan(images=12)]) as production:
        process = command.start(*asked(production, "run", "small"))
        head, _ = read_until(process, lambda line: (line.get("progress") or 0) >= 5)
        process.send_signal(signal.SIGINT)
        ended = rest_of(process, head)
        job = production.site.first()
    assert (ended.status, ended.result["outcome"]) == (-signal.SIGINT, "cancelled"), (ended.stderr, job.became)
    check_cancels(job)
    assert len(job.cancels) == 1


def test_a_job_that_never_gets_far_is_not_asked_and_a_second_signal_leaves_it(command):
    """Held at 0 %: to ask now would end the server for everybody."""
    with serving() as production:
        site = production.site

        async def stuck(job):
            await site.wait_for(lambda: job.most > 0)

        site.pace = stuck
        site.plans = [Plan(answer_after=1)]
        process = command.start(*asked(production, "run", "small", "--transport", "polling", "--poll-interval", "0.1"))
        head, _ = read_until(process, lambda line: line["event"] == "export:status-sync")
        process.send_signal(signal.SIGINT)
        looks = site.counts["status"]
        until(lambda: site.counts["status"] > looks + 8, "more looks")
        process.send_signal(signal.SIGINT)
        ended = rest_of(process, head)
        assert site.counts["cancel"] == 0
    assert (ended.status, ended.result["outcome"]) == (-signal.SIGINT, "detached")


def test_a_job_that_ended_unheard_is_not_asked_to_end_again(command):
    """Between two polls: this server would take it at its word, and its archive would be gone."""
    gate = []
    with serving() as production:
        site = production.site
        site.hold(23, lambda: gate)
        process = command.start(*asked(production, "run", "small", "--transport", "polling", "--poll-interval", "30"))
        head, _ = read_until(process, lambda line: (line.get("progress") or 0) >= 23)
        gate.append("open")
        production.do(site.tell_news)
        until(lambda: not site.first().is_working, "the job to end")
        process.send_signal(signal.SIGINT)
        ended = rest_of(process, head)
        job = site.first()
        assert site.counts["cancel"] == 0
    assert job.became == ["completed"]
    assert (ended.status, ended.result["outcome"]) == (-signal.SIGINT, "completed")
    assert ended.result["error"]["code"] == "COMPLETED_FIRST"
