"""What is known of a job in a command, and how it is told when the command is left."""

import asyncio

import pytest

from exportctl.client.sequencer import Sequencer
from exportctl.client.watch import Watch
from exportctl.commands.body.report import Report
from exportctl.model.job import Job, reduce
from exportctl.model.lines import Outcome, Source
from exportctl.protocol.events import Cancelled, Completed, Failed


async def report_of(event):
    job = Job(job_id="j", project_id="p", project_name=None, seq=0)
    if event is not None:
        job, _ = reduce(job, event, Source.SOCKET)
    ended = asyncio.get_running_loop().create_future()
    watch = Watch(project_id="p", job=job, options=None, sequencer=Sequencer(cursor=0), ended=ended)
    return Report(monotonic=lambda: 0.0, watch=watch)


COMMON = {"job_id": "j", "project_id": "p", "seq": 1, "timestamp": None}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (None, None),
        (Completed(**COMMON), None),
        (Failed(**COMMON, error="no disk", code="DISK_FULL"), (Outcome.FAILED, 3)),
        (Cancelled(**COMMON, cancelled_by="user"), (Outcome.CANCELLED, 10)),
    ],
)
async def test_a_job_that_is_cancelled_or_failed_does_not_go_on_when_the_command_is_left(event, expected):
    end = (await report_of(event)).bad_end
    assert (end and end[:2]) == expected
