"""What holds for every test: a failure can be repeated, and nothing is left running."""

import asyncio
import inspect
import os
import signal

import pytest
from hypothesis import settings

from exportctl.output import ndjson
from schema_of_lines import check

# The same examples every time: a change is judged by what it changes. `EXPORTCTL_RANDOM=1` looks for others.
settings.register_profile(
    "exportctl",
    print_blob=True,
    derandomize="EXPORTCTL_RANDOM" not in os.environ,
    deadline=None,  # a busy machine is no failure
)
settings.load_profile("exportctl")


def _checked(encode):
    def encode_and_check(numbered):
        line = encode(numbered)
        check(line, formats=False)  # ids and times of these tests are short
        return line

    return encode_and_check


# What the sinks of this process write is held against the schema, as is what commands of their own process do.
ndjson.encode = _checked(ndjson.encode)


def pytest_configure():
    """Take back signals that are ignored from outside (nohup, a shell's background): commands would inherit that."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Make `-n auto` two workers a core: the slow tests wait for processes more than they compute."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def _leaves_no_task(request):
    """Fail the test that leaves an asyncio task behind. Set up first, so that it looks when all else is gone."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_tasks_of_the_loop")


@pytest.fixture
async def _tasks_of_the_loop():
    before = asyncio.all_tasks()
    yield
    left = [
        task
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}
        # The loop itself closes what httpx leaves open of its generators when a response is given up halfway.
        if not task.done() and type(task.get_coro()).__name__ != "async_generator_athrow"
    ]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    assert not left, f"these tasks were left running: {left}"
