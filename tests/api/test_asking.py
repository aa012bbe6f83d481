"""How the server is asked: the waits that it wants, a sign-in renewed once, what is never asked again."""

import asyncio

import httpx
import pytest
import respx
import stamina

from exportctl.client.api import Api
from exportctl.client.asking import AGAIN_SECONDS, ATTEMPTS, RESTARTS, SILENCES, is_lost
from exportctl.client.http import ANSWER_SECONDS, Server, open_client
from exportctl.model.errors import Busy, NotAllowed, NotFound, Unreachable

URL = "http://export.example.org"
STATUS = "/api/projects/p1/export/j1/status"
SECOND = {"Export-Protocol": "2"}
NOON = "Tue, 24 Nov 2026 12:00:00 GMT"


@pytest.fixture(autouse=True)
def without_waits():
    stamina.set_testing(testing=True, attempts=ATTEMPTS)
    yield
    stamina.set_testing(testing=False)


@pytest.fixture
def wire():
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def api(wire):  # noqa: ARG001 - no request of any test may leave this machine
    server = Server(url=URL, correlation_id="c", token="secret")
    async with open_client(server) as http:
        yield Api(http=http, server=server)


def refused(status, wait=None, **headers):
    return httpx.Response(status, json={"error": "no"}, headers=headers | ({"Retry-After": wait} if wait else {}))


def found():
    return httpx.Response(200, json={"id": "j1", "status": "processing"}, headers=SECOND)


@pytest.fixture
def slept(monkeypatch):
    """The waits between attempts, which pass at once."""
    stamina.set_testing(testing=False)
    waits = []

    async def sleep(delay):
        waits.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waits


class TestWaits:
    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("wait", "seconds"), [("7", 7), ("Tue, 24 Nov 2026 12:00:09 GMT", 9), ("Tue, 24 Nov 2026 11:00:00 GMT", 0)]
    )
    async def test_the_servers_wait_is_what_is_waited(self, wire, api, slept, *, status, wait, seconds):
        wire.get(STATUS).side_effect = [refused(status, wait, Date=NOON), found()]
        assert (await api.status("p1", "j1")).id == "j1"
        assert slept == [seconds]

    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_wait_beyond_the_budget_is_told_at_once(self, wire, api, status):
        route = wire.get(STATUS).mock(return_value=refused(status, "3600"))
        with pytest.raises(Busy if status == 429 else Unreachable) as caught:
            await api.status("p1", "j1")
        assert route.call_count == 1
        assert caught.value.retry_after == 3600
        assert "60 minutes" in caught.value.hint

    @pytest.mark.parametrize("wait", ["", "soon", "-1", "1e3", "٣", "Tue, 99 Nov 2026 12:00:00 GMT"])
    async def test_a_wait_that_makes_no_sense_is_none(self, wire, api, wait):
        wire.get(STATUS).side_effect = [refused(503, wait.encode() or None), found()]
        assert (await api.status("p1", "j1")).id == "j1"

    @pytest.mark.parametrize("status", [502, 504])
    async def test_a_proxy_without_its_server_is_asked_again(self, wire, api, status):
        wire.get(STATUS).side_effect = [httpx.Response(status, html="<h1>Bad</h1>"), found()]
        assert (await api.status("p1", "j1")).id == "j1"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 429])
    async def test_what_waiting_does_not_cure_is_not_asked_again(self, wire, api, status):
        api.protocol = 2
        route = wire.get(STATUS).mock(return_value=refused(status))
        with pytest.raises(Exception, match="no"):
            await api.status("p1", "j1")
        assert route.call_count == 1

    async def test_a_page_with_a_good_status_is_not_asked_for_again(self, wire, api):
        route = wire.get(STATUS).mock(return_value=httpx.Response(200, html="<html>"))
        with pytest.raises(Unreachable):
            await api.status("p1", "j1")
        assert route.call_count == 1

    async def test_a_start_outlasts_a_server_that_is_started_again(self, wire, api, slept):
        api.protocol = 2
        begun = httpx.Response(200, json={"jobId": "j1"}, headers=SECOND)
        wire.post("/api/projects/p1/export").side_effect = [*[httpx.ConnectError("refused")] * (RESTARTS - 1), begun]
        assert await api.start("p1", {}, name="n", key="k") == "j1"
        assert sum(slept) > 30

    @pytest.mark.usefixtures("slept")
    async def test_a_start_that_is_refused_is_not_asked_for_that_long(self, wire, api):
        api.protocol = 2
        route = wire.post("/api/projects/p1/export").mock(return_value=refused(503))
        with pytest.raises(Unreachable):
            await api.start("p1", {}, name="n", key="k")
        assert route.call_count == ATTEMPTS

    async def test_whoever_starts_an_export_decides_whether_to_wait_for_room(self, wire, api):
        api.protocol = 2
        route = wire.post("/api/projects/p1/export").mock(return_value=refused(429, "1"))
        with pytest.raises(Busy):
            await api.start("p1", {}, name="n", key="k")
        assert route.call_count == 1


class TestSilence:
    async def test_a_server_that_says_nothing_is_asked_twice_and_left(self, wire, api):
        route = wire.get(STATUS).mock(side_effect=httpx.ReadTimeout("silence"))
        with pytest.raises(Unreachable, match="it took the request and did not answer"):
            await api.status("p1", "j1")
        assert route.call_count == SILENCES
        assert {call.request.extensions["timeout"]["read"] for call in route.calls} == {AGAIN_SECONDS}
        assert SILENCES * AGAIN_SECONDS <= 30

    async def test_an_answer_between_two_silences_is_no_reason_to_go_on(self, wire, api):
        silence = httpx.ConnectTimeout("silence")
        route = wire.get(STATUS).mock(side_effect=[silence, httpx.Response(502), silence, found()])
        with pytest.raises(Unreachable):
            await api.status("p1", "j1")
        assert route.call_count == 3

    async def test_what_is_not_asked_again_is_waited_for_longer(self, wire, api):
        api.protocol = 1
        route = wire.post("/api/projects/p1/export").mock(side_effect=httpx.ReadTimeout("silence"))
        with pytest.raises(Unreachable):
            await api.start("p1", {}, name="n", key="k")
        assert [call.request.extensions["timeout"]["read"] for call in route.calls] == [ANSWER_SECONDS]


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_names_the_server_to_use_and_is_not_followed(self, wire, api, status):
        location = f"https://export.example.org{STATUS}?token=secret"
        route = wire.get(STATUS).mock(return_value=httpx.Response(status, headers={"Location": location}))
        with pytest.raises(Unreachable, match="sends us on to https://export") as caught:
            await api.status("p1", "j1")
        assert caught.value.hint == "--server https://export.example.org"
        assert route.call_count == 1

    async def test_a_redirect_to_nowhere_is_told_too(self, wire, api):
        wire.get(STATUS).mock(return_value=httpx.Response(302, headers={"Location": "http://[bad"}))
        with pytest.raises(Unreachable):
            await api.status("p1", "j1")


class TestRenewal:
    @pytest.fixture
    def renewals(self, api):
        asked = []

        async def renew():
            asked.append(1)
            return True

        api.renew = renew
        return asked

    async def test_a_sign_in_that_ran_out_is_renewed_and_the_request_made_again(self, wire, api, renewals):
        wire.get(STATUS).side_effect = [refused(401), found()]
        assert (await api.status("p1", "j1")).id == "j1"
        assert len(renewals) == 1

    async def test_once_renewed_a_refusal_stands(self, wire, api, renewals):
        route = wire.get(STATUS).mock(return_value=refused(401))
        with pytest.raises(NotAllowed):
            await api.status("p1", "j1")
        assert (len(renewals), route.call_count) == (1, 2)

    async def test_what_is_not_allowed_is_not_renewed(self, wire, api, renewals):
        wire.get(STATUS).mock(return_value=refused(403))
        with pytest.raises(NotAllowed):
            await api.status("p1", "j1")
        assert renewals == []

    async def test_where_nothing_can_be_renewed_the_refusal_stands(self, wire, api):
        async def renew():
            return False

        api.renew = renew
        route = wire.get(STATUS).mock(return_value=refused(401))
        with pytest.raises(NotAllowed):
            await api.status("p1", "j1")
        assert route.call_count == 1

    async def test_many_requests_at_once_renew_once(self, wire, api, renewals):
        wire.get(STATUS).mock(side_effect=lambda _: found() if renewals else refused(401))
        await asyncio.gather(*(api.status("p1", "j1") for _ in range(20)))
        assert len(renewals) == 1

    async def test_a_head_is_renewed_for_too(self, wire, api, renewals):
        headers = {"Content-Length": "9", "Content-Disposition": 'attachment; filename="e.zip"'}
        wire.head("/api/projects/p1/export/j1/download").side_effect = [
            refused(401),
            httpx.Response(200, headers=headers),
        ]
        facts = await api.measure("p1", "j1")
        assert (facts.size, facts.file_name) == (9, "e.zip")
        assert len(renewals) == 1


class TestProtocol1:
    async def test_projects_are_found_under_their_other_name(self, wire, api):
        rows = {"success": True, "data": [{"id": "p1", "title": "Nuclei"}], "pagination": {"totalPages": 1}}
        wire.get("/api/projects").mock(return_value=httpx.Response(200, json=rows))
        assert (await api.find_project("Nuclei")).id == "p1"
        assert api.protocol == 1

    async def test_the_history_is_a_bare_list(self, wire, api):
        rows = [{"id": "j2", "status": "failed", "message": "Export cancelled by user"}, {"id": "j1"}, 7, {}]
        wire.get("/api/projects/p1/export/history").mock(return_value=httpx.Response(200, json=rows))
        assert [(one.id, one.status) for one in await api.history("p1")] == [("j2", "cancelled"), ("j1", "unknown")]

    async def test_a_failures_reason_is_its_message_in_one_line_without_folders(self, wire, api):
        body = {"id": "j1", "status": "failed", "message": "\nENOENT: /srv/app/a/b.zip\nat x", "progress": 6.4399999999}
        wire.get(STATUS).mock(return_value=httpx.Response(200, json=body))
        seen = await api.status("p1", "j1")
        assert (seen.status, seen.error) == ("failed", {"message": "ENOENT: …/b.zip"})
        assert (seen.phase, seen.stage, seen.file_size, seen.sha256, seen.last_seq) == (None,) * 5
        assert seen.progress == 6.44

    async def test_a_job_that_is_not_there_may_have_been_forgotten(self, wire, api):
        wire.get(STATUS).mock(return_value=refused(404))
        with pytest.raises(NotFound, match="the server restarted and forgot the job"):
            await api.status("p1", "j1")

    async def test_a_job_of_no_named_project_is_looked_for_in_all(self, wire, api):
        wire.get("/api/export/j1").mock(return_value=refused(404))
        rows = {"data": [{"id": "p1", "title": "A"}, {"id": "p2", "title": "B"}]}
        wire.get("/api/projects").mock(return_value=httpx.Response(200, json=rows))
        wire.get("/api/projects/p1/export/history").mock(return_value=httpx.Response(200, json=[]))
        mine = [{"id": "j1", "projectId": "p2", "status": "completed"}]
        wire.get("/api/projects/p2/export/history").mock(return_value=httpx.Response(200, json=mine))
        assert (await api.status(None, "j1")).project_id == "p2"
        wire.get("/api/export/j9").mock(return_value=refused(404))
        with pytest.raises(NotFound, match="any project's history"):
            await api.status(None, "j9")


@pytest.mark.parametrize(
    ("answered", "is_one"), [(None, True), (200, True), (502, True), (503, True), (504, True), (500, False)]
)
def test_a_lost_answer_is_none_or_a_proxys(answered, is_one):
    error = Unreachable("x")
    error.answered = answered
    assert is_lost(error) is is_one


@pytest.mark.parametrize("error", [Busy("x"), NotAllowed("x"), Unreachable("x", code="TLS")])
def test_a_refusal_is_no_lost_answer(error):
    assert not is_lost(error)
