"""A start is made once: on servers that know no key, a lost answer is looked for and nothing is sent again."""

from datetime import UTC, datetime

import httpx
import pytest
import respx

from exportctl.client.api import Api
from exportctl.client.http import Server, open_client
from exportctl.client.starting import LOOKS, find_started, start_job
from exportctl.model.errors import Busy, NotAllowed, NotFound, Rejected, Unreachable

URL = "http://export.example.org"
START, HISTORY = "/api/projects/p1/export", "/api/projects/p1/export/history"
OPTIONS = {"annotationFormats": ["coco"], "pixelToMicrometerScale": 0.65}
NOON = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT"}


@pytest.fixture
def wire():
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def api(wire):
    server = Server(url=URL, correlation_id="c")
    rows = {"data": [{"id": "p1", "title": "Nuclei"}]}
    wire.get("/api/projects").mock(return_value=httpx.Response(200, json=rows, headers=NOON))
    async with open_client(server) as http:
        api = Api(http=http, server=server)
        await api.find_project("p1")
        yield api


def job(name="j1", *, at="2026-11-24T12:00:03.470Z", options=OPTIONS):
    return {"id": name, "projectId": "p1", "status": "processing", "createdAt": at, "options": options}


def jobs(*rows):
    return httpx.Response(200, json=list(rows))


class Sleeper:
    def __init__(self):
        self.slept = 0

    async def sleep(self, _seconds):
        self.slept += 1


async def start(api, strangers=tuple, sleeper=None):
    sleep = (sleeper or Sleeper()).sleep
    return await start_job(api, "p1", OPTIONS, name="Nuclei", key="k", strangers=strangers, sleep=sleep)


LOST = [httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), httpx.Response(502), httpx.Response(504, html="<p>")]


@pytest.mark.parametrize("lost", LOST, ids=str)
async def test_a_job_made_since_with_the_same_options_is_the_one(wire, api, lost):
    route = wire.post(START).mock(side_effect=[lost])
    older = job("old", at="2026-11-24T11:59:59.999Z")
    other = job("other", options={"annotationFormats": ["yolo"]})
    wire.get(HISTORY).mock(return_value=jobs(other, job(), older))
    assert await start(api) == "j1"
    assert route.call_count == 1


async def test_a_job_that_the_socket_told_of_since_is_the_one(wire, api):
    wire.post(START).mock(side_effect=httpx.ReadTimeout("x"))
    heard = iter([["before"], ["before", "j2"]])
    wire.get(HISTORY).mock(return_value=jobs(job("before", at="x"), job("j2", at="x", options=None)))
    assert await start(api, strangers=lambda: next(heard)) == "j2"


async def test_the_history_is_asked_more_than_once_since_the_server_may_be_slow(wire, api):
    wire.post(START).mock(side_effect=httpx.ReadTimeout("x"))
    wire.get(HISTORY).side_effect = [jobs(), jobs(), jobs(job())]
    sleeper = Sleeper()
    assert await start(api, sleeper=sleeper) == "j1"
    assert sleeper.slept == 2


@pytest.mark.parametrize("rows", [[], [job("old", at="2026-11-24T11:59:00.000Z")], [job(at=None)], [job(at="soon")]])
async def test_what_is_not_there_is_the_lost_answers_error_and_nothing_is_sent_again(wire, api, rows):
    route = wire.post(START).mock(side_effect=httpx.ReadTimeout("x"))
    history = wire.get(HISTORY).mock(return_value=jobs(*rows))
    with pytest.raises(Unreachable, match="did not answer"):
        await start(api)
    assert (route.call_count, history.call_count) == (1, LOOKS)


@pytest.mark.parametrize(("status", "kind"), [(500, Unreachable), (429, Busy), (401, NotAllowed), (400, Rejected)])
async def test_an_answer_is_no_lost_one(wire, api, status, kind):
    wire.post(START).mock(return_value=httpx.Response(status, json={"success": False, "error": "no"}))
    history = wire.get(HISTORY).mock(return_value=jobs(job()))
    with pytest.raises(kind, match="no"):
        await start(api)
    assert history.call_count == 0


async def test_a_server_that_knows_keys_is_asked_again_and_not_searched(wire, api):
    api.protocol = 2
    history = wire.get(HISTORY).mock(return_value=jobs(job()))
    wire.post(START).side_effect = [httpx.Response(200, json={"jobId": "j9"})]
    assert await start(api) == "j9"
    assert history.call_count == 0


async def find(api, *, others=()):
    asked_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    return await find_started(api, "p1", OPTIONS, name="Nuclei", key="k", asked_at=asked_at, others=others)


async def test_a_start_of_a_killed_command_is_looked_for_and_not_sent_again_where_no_key_is_known(wire, api):
    posted = wire.post(START)
    wire.get(HISTORY).mock(return_value=jobs(job("old", at="2026-11-24T11:59:59.000Z"), job("ours"), job("other")))
    assert await find(api, others={"other"}) == "ours"
    assert not posted.called


async def test_a_start_of_a_killed_command_that_made_no_job_is_told_as_such(wire, api):
    wire.get(HISTORY).mock(return_value=jobs(job("old", at="2026-11-24T11:59:59.000Z")))
    with pytest.raises(NotFound) as raised:
        await find(api)
    assert raised.value.code == "NOT_STARTED"
