"""A signal that comes before the command's loop runs ends it as any other, whatever the command had to do."""

import asyncio
import signal
import time
from datetime import UTC, datetime

import pytest

from exportctl.commands.body.report import Report
from exportctl.commands.body.session import Session
from exportctl.commands.options import Shared
from exportctl.model.lines import Outcome
from exportctl.output.stream import Stream


class Kept:
    def __init__(self):
        self.lines = []

    def take(self, *numbered):
        self.lines += [one.line for one in numbered]

    def tick(self):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("waits", [False, True])
def test_a_signal_from_before_the_loop_ends_the_command_without_a_traceback(waits):
    kept = Kept()
    session = Session(
        command="resume",
        shared=Shared(),
        stream=Stream(sinks=[kept], correlation_id="c", monotonic=time.monotonic, now=lambda: datetime.now(UTC)),
        correlation_id="c",
        progress=None,
        reports=[Report(monotonic=time.monotonic)],
    )
    session.caught = signal.SIGHUP

    async def body():
        if waits:
            await asyncio.Event().wait()
        return session.conclude(session.report, Outcome.OK, 0)

    before = {number: signal.getsignal(number) for number in signal.Signals if number not in {9, 19}}
    try:
        status = asyncio.run(session.run(body()))
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    assert status == 128 + signal.SIGHUP
    assert [line.event for line in kept.lines] == ["result"]
