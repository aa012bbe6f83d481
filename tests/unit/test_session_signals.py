"""A signal that comes before the command's loop runs ends it as any other, whatever the command had to do."""

import asyncio
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.options import Shared
from exportctl.model.lines import ConnectionChanged, Outcome
from exportctl.output.stream import Stream
from exportctl.store.jobs import KnownJob


class Kept:
    def __init__(self):
        self.lines = []

    def take(self, *numbered):
        self.lines += [one.line for one in numbered]

    def tick(self):
        pass

    def close(self):
        pass


def opened(kept, *reports, timeout=None):
    return Session(
        command="resume",
        shared=Shared(timeout=timeout),
        stream=Stream(sinks=[kept], correlation_id="c", monotonic=time.monotonic, now=lambda: datetime.now(UTC)),
        correlation_id="c",
        progress=None,
        reports=list(reports) or [Report(monotonic=time.monotonic)],
    )


def conducted(session, body):
    before = {number: signal.getsignal(number) for number in signal.Signals if number not in {9, 19}}
    try:
        return asyncio.run(session.run(body()))
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@pytest.mark.parametrize("waits", [False, True])
def test_a_signal_from_before_the_loop_ends_the_command_without_a_traceback(waits):
    kept = Kept()
    session = opened(kept)
    session.caught = signal.SIGHUP

    async def body():
        if waits:
            await asyncio.Event().wait()
        return session.conclude(session.report, Outcome.OK, 0)

    status = conducted(session, body)
    assert status == 128 + signal.SIGHUP
    assert [line.event for line in kept.lines] == ["result"]


def test_who_leaves_before_the_project_is_known_is_told_the_way_back_by_what_was_named(capfd):
    session = opened(Kept(), Report(monotonic=time.monotonic, job_id="6f0c2b7e"))
    session.caught = signal.SIGINT

    async def body():
        await asyncio.Event().wait()

    conducted(session, body)
    assert capfd.readouterr().err == "Left. The job goes on: exportctl follow 6f0c2b7e\n"


def test_a_timeout_names_to_each_open_job_the_command_that_goes_on_with_it():
    kept = Kept()
    done, *others = (Report(monotonic=time.monotonic, job_id=name, project_id="p") for name in "abc")
    session = opened(kept, done, *others, timeout=0.01)

    async def body():
        session.conclude(done, Outcome.COMPLETED, 0)
        await asyncio.Event().wait()

    assert conducted(session, body) == 6
    hints = {line.job_id: line.error and line.error.hint for line in kept.lines}
    assert hints == {"a": None, "b": "exportctl follow p/b", "c": "exportctl follow p/c"}


def test_a_timeout_of_nothing_is_named_as_it_was_given():
    kept = Kept()

    async def body():
        await asyncio.Event().wait()

    assert conducted(opened(kept, timeout=0.0), body) == 6
    assert kept.lines[-1].error.message == "--timeout 0 ran out"


@pytest.mark.parametrize(
    ("output", "options"), [("out", "--extract /d/out"), ("n.zip", "-o /d/n.zip --extract /d/out")]
)
def test_the_way_back_to_a_download_extracts_again_what_was_to_be_extracted(output, options):
    target, folder = Path("/d", output), Path("/d/out")
    known = KnownJob(server="s", job_id="j", output=target, extract=folder)
    report = Report(monotonic=time.monotonic, job_id="j", project_id="p", known=known, target=target)
    report.processing_ended()
    assert opened(Kept(), report).resume_hint() == f"exportctl download p/j {options}"


def test_nothing_is_told_behind_the_last_end(capfd):
    kept = Kept()
    reports = [Report(monotonic=time.monotonic, job_id=name) for name in ("one", "two")]
    session = opened(kept, *reports)

    async def body():
        for report in reports:
            session.conclude(report, Outcome.COMPLETED, 0)
            session.tell(ConnectionChanged(state="polling", protocol=2, reason="the connection broke"))
        return 0

    assert conducted(session, body) == 0
    assert [line.event for line in kept.lines] == ["result", "connection:changed", "result"]
    assert capfd.readouterr().err == ""
