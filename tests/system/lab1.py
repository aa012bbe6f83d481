"""The parts of the labs of protocol 1: schedules of what network and server do, and commands read as they go on."""

import orjson
from hypothesis import strategies as st

from production import acts
from production.acts import Event, Moment
from production.jobs import Job
from production.serving import Production
from production.site import FIRST
from system import drawn
from system.processes import Ended, end_of
from system.proxy import After, Fault

EVENT = b'42["export:'

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
FAULTS = drawn.faults(0.1, 0.3)


def cost(act: object) -> int:
    """Return how many attempts of one request this act of the server or of the network can make fail."""
    return 2 if isinstance(act, acts.Restart | acts.PlannedStop) else drawn.cost(act)


@st.composite
def schedules(draw) -> tuple[list[Event], list[Fault]]:
    done = draw(st.lists(st.builds(Event, MOMENTS, ACTS), max_size=4))
    faults = draw(st.lists(st.builds(Fault, THROUGH, FAULTS), min_size=0 if done else 1, max_size=4))
    kept, left = [], drawn.MOST_ATTEMPTS
    for one in [*done, *faults]:
        if cost(one.act) <= left:
            left -= cost(one.act)
            kept.append(one)
    return [one for one in kept if isinstance(one, Event)], [one for one in kept if isinstance(one, Fault)]


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


def asked(production, *arguments):
    return [*arguments, "--server", production.url, "--ndjson", "--progress", "none", "--no-state"]


def read_until(process, wanted) -> tuple[bytes, dict | None]:
    """Read lines until one is wanted; return all of them, and the one."""
    head = b""
    for text in process.stdout:
        head += text
        line = orjson.loads(text)
        if wanted(line):
            return head, line
    return head, None


def rest_of(process, head, what="the end of the command") -> Ended:
    ended = end_of(process, 60, what)
    return Ended(status=ended.status, stdout=head + ended.stdout, stderr=ended.stderr)
