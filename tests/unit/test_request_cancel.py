"""A cancellation is asked for again by the other way where the first is not acknowledged."""

import asyncio
from types import SimpleNamespace

import pytest

from exportctl.commands.body import stopping
from exportctl.commands.body.stopping import request_cancel
from exportctl.model.errors import NotFound, Unreachable

WATCH = SimpleNamespace(project_id="p", job=SimpleNamespace(job_id="j"))


class Server:
    """What a follower and an API say to a cancellation; `asked` is how they were asked."""

    def __init__(self, *, by_follower, by_http, protocol=2):
        self.protocol, self.asked = protocol, []
        self._follower, self._http = by_follower, by_http
        self.follower = SimpleNamespace(cancel=self._by_follower)
        self.api = SimpleNamespace(cancel=self._by_http, protocol=protocol)

    async def _by_follower(self, _watch, _reason):
        self.asked.append("follower")
        await self._answer(self._follower)

    async def _by_http(self, _project, _job, *, reason):
        self.asked.append(f"http: {reason}")
        await self._answer(self._http)

    @staticmethod
    async def _answer(what):
        if what == "silence":
            await asyncio.Event().wait()
        if isinstance(what, Exception):
            raise what

    async def ask(self, *, both=False):
        await request_cancel(self.api, self.follower, WATCH, "why", both=both)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(stopping, "ACKNOWLEDGE_SECONDS", 0.0)


async def test_what_is_acknowledged_is_asked_once(monkeypatch):
    monkeypatch.setattr(stopping, "ACKNOWLEDGE_SECONDS", 60.0)
    server = Server(by_follower=None, by_http=None)
    await server.ask()
    assert server.asked == ["follower"]


async def test_silence_is_asked_again_by_http():
    server = Server(by_follower="silence", by_http=None)
    await server.ask()
    assert server.asked == ["follower", "http: why"]


async def test_both_ways_at_once_need_one_yes():
    server = Server(by_follower=Unreachable("no"), by_http=None)
    await server.ask(both=True)
    assert sorted(server.asked) == ["follower", "http: why"]
    await Server(by_follower=None, by_http=NotFound("no")).ask(both=True)


async def test_both_ways_that_say_no_are_the_word_of_http():
    with pytest.raises(NotFound):
        await Server(by_follower=Unreachable("no"), by_http=NotFound("gone")).ask(both=True)


async def test_on_protocol_1_the_follower_alone_knows_how():
    server = Server(by_follower=None, by_http=None, protocol=1)
    await server.ask(both=True)
    assert server.asked == ["follower"]
