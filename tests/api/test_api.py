"""The HTTP API: what is asked, what is made of the answers, what is asked again, and what never is."""

import httpx
import orjson
import pytest
import respx
import stamina

from exportctl.client.api import ATTEMPTS, Api, Project
from exportctl.client.http import Server, open_client
from exportctl.model.errors import Busy, NotAllowed, NotFound, Rejected, Unreachable
from exportctl.protocol.events import Completed, Progress, StageProgress, Unreadable

URL = "http://export.example.org"
SECOND = {"Export-Protocol": "2"}


@pytest.fixture(autouse=True)
def without_waits():
    stamina.set_testing(testing=True, attempts=ATTEMPTS)
    yield
    stamina.set_testing(testing=False)


@pytest.fixture
def wire(monkeypatch):
    monkeypatch.setattr("exportctl.client.wire.ARCHIVES", ())  # respx stands in for httpx's own transport only
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def api(wire):  # noqa: ARG001 - no request of any test may leave this machine
    server = Server(url=URL, correlation_id="c", token="secret")
    async with open_client(server) as http:
        yield Api(http=http, server=server)


def page(*projects, pages=1, number=1):
    found = [{"id": one, "title": title, "imageCount": 3} for one, title in projects]
    return httpx.Response(
        200, json={"projects": found, "pagination": {"page": number, "totalPages": pages}}, headers=SECOND
    )


class TestProjects:
    async def test_an_id_or_an_exact_title_finds_its_project(self, wire, api):
        wire.get("/api/projects").mock(return_value=page(("p1", "Nuclei"), ("p2", "Cells")))
        assert await api.find_project("p2") == Project(id="p2", title="Cells", image_count=3)
        assert await api.find_project("Nuclei") == Project(id="p1", title="Nuclei", image_count=3)

    async def test_an_id_wins_over_another_projects_title(self, wire, api):
        wire.get("/api/projects").mock(return_value=page(("p1", "p2"), ("p2", "Cells")))
        assert (await api.find_project("p2")).id == "p2"

    async def test_every_page_is_looked_at(self, wire, api):
        route = wire.get("/api/projects")
        route.side_effect = [page(("p1", "A"), pages=3), page(("p2", "B"), pages=3), page(("p3", "C"), pages=3)]
        assert (await api.find_project("C")).id == "p3"
        assert [call.request.url.params["page"] for call in route.calls] == ["1", "2", "3"]

    async def test_a_title_of_two_projects_is_refused_with_their_ids(self, wire, api):
        wire.get("/api/projects").mock(return_value=page(("p1", "Same"), ("p2", "Same")))
        with pytest.raises(NotFound, match="2 projects") as caught:
            await api.find_project("Same")
        assert "p1, p2" in caught.value.hint

    @pytest.mark.parametrize("wanted", ["nuclei", "Nucle", "", "Nuclei "])
    async def test_what_is_not_exactly_it_is_not_found(self, wire, api, wanted):
        wire.get("/api/projects").mock(return_value=page(("p1", "Nuclei"), ("", "")))
        with pytest.raises(NotFound) as caught:
            await api.find_project(wanted)
        assert caught.value.exit_status == 5

    @pytest.mark.parametrize(
        "body", [{}, {"projects": None}, {"projects": [1, None, {"id": 7}]}, {"projects": [], "pagination": []}]
    )
    async def test_a_strange_list_is_an_empty_one(self, wire, api, body):
        wire.get("/api/projects").mock(return_value=httpx.Response(200, json=body))
        with pytest.raises(NotFound):
            await api.find_project("Nuclei")

    async def test_a_list_that_never_says_its_end_ends_with_an_empty_page(self, wire, api):
        route = wire.get("/api/projects")
        route.side_effect = [page(("p1", "A"), pages=10**9), page(pages=10**9)]
        with pytest.raises(NotFound):
            await api.find_project("Nuclei")
        assert route.call_count == 2


class TestStart:
    async def test_the_whole_request_goes_out_with_its_key(self, wire, api):
        route = wire.post("/api/projects/p%2F1/export").mock(
            return_value=httpx.Response(200, json={"success": True, "jobId": "j1"}, headers=SECOND)
        )
        assert await api.start("p/1", {"a": [1]}, name="Nuclei", key="k1") == "j1"
        request = route.calls.last.request
        assert orjson.loads(request.content) == {"options": {"a": [1]}, "projectName": "Nuclei"}
        assert request.headers["idempotency-key"] == "k1"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-correlation-id"] == "c"

    async def test_a_lost_answer_is_asked_for_again_with_the_same_key(self, wire, api):
        api.protocol = 2
        route = wire.post("/api/projects/p1/export")
        route.side_effect = [httpx.ReadTimeout("x"), httpx.Response(502), httpx.Response(200, json={"jobId": "j1"})]
        assert await api.start("p1", {}, name="n", key="k1") == "j1"
        assert [call.request.headers["idempotency-key"] for call in route.calls] == ["k1"] * 3

    @pytest.mark.parametrize("protocol", [None, 1])
    async def test_a_server_without_such_keys_is_asked_once_only(self, wire, api, protocol):
        api.protocol = protocol
        route = wire.post("/api/projects/p1/export").mock(side_effect=httpx.ReadTimeout("x"))
        with pytest.raises(Unreachable):
            await api.start("p1", {}, name="n", key="k1")
        assert route.call_count == 1

    @pytest.mark.parametrize(
        ("status", "kind"), [(400, Rejected), (422, Rejected), (401, NotAllowed), (404, NotFound), (429, Busy)]
    )
    async def test_a_refusal_is_not_asked_again(self, wire, api, status, kind):
        api.protocol = 2
        route = wire.post("/api/projects/p1/export").mock(return_value=httpx.Response(status, json={"error": "no"}))
        with pytest.raises(kind):
            await api.start("p1", {}, name="n", key="k1")
        assert route.call_count == 1

    @pytest.mark.parametrize("body", [{}, {"jobId": None}, {"jobId": 7}, {"jobId": ""}])
    async def test_an_answer_without_a_job_is_no_start(self, wire, api, body):
        wire.post("/api/projects/p1/export").mock(return_value=httpx.Response(200, json=body))
        with pytest.raises(Unreachable):
            await api.start("p1", {}, name="n", key="k1")


class TestAgain:
    async def test_a_read_is_repeated_until_the_attempts_are_used_up_and_each_is_heard_of(self, wire, api):
        heard = []
        api.on_retry = lambda error, attempt, _wait: heard.append((type(error), attempt))
        route = wire.get("/api/export/j1").mock(side_effect=httpx.ConnectError("x"))
        with pytest.raises(Unreachable):
            await api.status(None, "j1")
        assert route.call_count == ATTEMPTS
        assert heard == [(Unreachable, number) for number in range(1, ATTEMPTS)]

    async def test_what_heals_meanwhile_is_an_answer(self, wire, api):
        route = wire.get("/api/export/j1")
        route.side_effect = [httpx.ConnectError("x"), httpx.Response(503), httpx.Response(200, json={"id": "j1"})]
        assert (await api.status(None, "j1")).id == "j1"

    async def test_what_waiting_does_not_cure_is_raised_at_once(self, wire, api):
        answer = httpx.Response(404, json={"error": "No such export job"}, headers=SECOND)
        route = wire.get("/api/export/j1").mock(return_value=answer)
        with pytest.raises(NotFound, match="job j1: No such export job"):
            await api.status(None, "j1")
        assert route.call_count == 1

    async def test_a_page_where_json_was_due_names_the_address_as_the_likely_cause(self, wire, api):
        wire.get("/api/export/j1").mock(return_value=httpx.Response(200, html="<html>welcome</html>"))
        with pytest.raises(Unreachable, match="text/html") as caught:
            await api.status(None, "j1")
        assert caught.value.code == "NOT_JSON"
        assert "--server" in caught.value.hint

    @pytest.mark.parametrize("content", [b"", b"[]", b'"x"', b"null", b"{", b"\xff", b"{'a': 1}"])
    async def test_json_that_is_no_object_is_none(self, wire, api, content):
        wire.get("/api/export/j1").mock(return_value=httpx.Response(200, content=content))
        with pytest.raises(Unreachable):
            await api.status(None, "j1")


class TestProtocol:
    @pytest.mark.parametrize(("headers", "protocol"), [(SECOND, 2), ({}, 1), ({"Export-Protocol": "x"}, 1)])
    async def test_the_first_json_answer_fixes_it(self, wire, api, headers, protocol):
        wire.get("/api/export/j1").mock(return_value=httpx.Response(200, json={}, headers=headers))
        assert api.protocol is None
        await api.status(None, "j1")
        assert api.protocol == protocol

    async def test_a_later_answer_of_a_proxy_does_not_change_it(self, wire, api):
        route = wire.get("/api/export/j1")
        route.side_effect = [
            httpx.Response(502, html="<html>"),
            httpx.Response(200, json={}, headers=SECOND),
            httpx.Response(502, json={"error": "bad gateway"}),
            httpx.Response(200, json={}),
        ]
        await api.status(None, "j1")
        await api.status(None, "j1")
        assert api.protocol == 2


class TestStatus:
    async def test_a_job_is_read_whole(self, wire, api):
        wire.get("/api/projects/p1/export/j1/status").mock(
            return_value=httpx.Response(
                200,
                json={
                    "id": "j1",
                    "projectId": "p1",
                    "projectName": "Nuclei",
                    "status": "completed",
                    "phase": "downloading",
                    "stage": "compression",
                    "progress": 100,
                    "stageProgress": {"current": 3, "total": 3, "item": "a.png"},
                    "estimatedTimeRemaining": 0,
                    "message": "done",
                    "createdAt": "t1",
                    "completedAt": "t2",
                    "archive": {"fileName": "n.zip", "fileSize": 9, "sha256": "ab"},
                    "warnings": ["w", 7],
                    "error": None,
                    "lastSeq": 6,
                },
            )
        )
        seen = await api.status("p1", "j1")
        assert (seen.id, seen.project_id, seen.project_name, seen.status) == ("j1", "p1", "Nuclei", "completed")
        assert (seen.file_name, seen.file_size, seen.sha256) == ("n.zip", 9, "ab")
        assert (seen.progress, seen.stage_progress) == (100.0, StageProgress(current=3, total=3, item="a.png"))
        assert (seen.warnings, seen.error, seen.last_seq) == (("w",), None, 6)

    async def test_a_server_that_says_nothing_is_no_error(self, wire, api):
        wire.get("/api/export/j1").mock(return_value=httpx.Response(200, json={}))
        seen = await api.status(None, "j1")
        assert (seen.id, seen.project_id, seen.status, seen.file_size) == ("j1", None, "unknown", None)

    async def test_names_of_projects_and_jobs_stay_one_part_of_the_path(self, wire, api):
        route = wire.get(url__regex=r".*").mock(return_value=httpx.Response(200, json={}))
        await api.status("a/b?c", "d#e f")
        assert route.calls.last.request.url.raw_path == b"/api/projects/a%2Fb%3Fc/export/d%23e%20f/status"


class TestEvents:
    async def test_a_page_of_the_log_is_asked_for_behind_the_cursor_and_read(self, wire, api):
        route = wire.get("/api/projects/p1/export/j1/events").mock(
            return_value=httpx.Response(
                200,
                json={
                    "events": [
                        {"event": "export:progress", "data": {"jobId": "j1", "seq": 4, "progress": 7}},
                        {"event": "export:new", "data": {"jobId": "j1", "seq": 5}},
                        {"event": "export:completed", "data": {"jobId": "j1", "seq": 6}},
                        {"data": {}},
                        "rubbish",
                    ],
                    "log": "l1",
                    "lastSeq": 6,
                    "status": "completed",
                    "gap": False,
                },
            )
        )
        found = await api.events("p1", "j1", after=3, log="l1", wait=25)
        assert [type(event) for event in found.events] == [Progress, Unreadable, Completed, Unreadable]
        assert (found.log, found.last_seq, found.status, found.gap) == ("l1", 6, "completed", False)
        request = route.calls.last.request
        assert dict(request.url.params) == {"after": "3", "wait": "25", "limit": "1000", "log": "l1"}
        assert request.extensions["timeout"]["read"] > 25

    async def test_one_attempt_is_one_request(self, wire, api):
        route = wire.get("/api/projects/p1/export/j1/events").mock(return_value=httpx.Response(503))
        with pytest.raises(Unreachable):
            await api.events("p1", "j1", after=0, log=None, wait=0, attempts=1)
        assert route.call_count == 1
        assert "log" not in route.calls.last.request.url.params


async def test_a_cancellation_says_why(wire, api):
    route = wire.post("/api/projects/p1/export/j1/cancel").mock(
        return_value=httpx.Response(200, json={"success": True})
    )
    await api.cancel("p1", "j1", reason="SIGINT in exportctl")
    assert orjson.loads(route.calls.last.request.content) == {"reason": "SIGINT in exportctl"}


class TestDownload:
    @pytest.mark.parametrize("status", [200, 206, 416])
    async def test_its_caller_judges_what_is_an_answer(self, wire, api, status):
        route = wire.get("/api/projects/p1/export/j1/download").mock(return_value=httpx.Response(status, content=b"x"))
        async with api.open_download("p1", "j1", {"Range": "bytes=5-"}) as response:
            assert response.status_code == status
        headers = route.calls.last.request.headers
        assert (headers["range"], headers["accept-encoding"], headers["accept"]) == ("bytes=5-", "identity", "*/*")

    @pytest.mark.parametrize(
        ("status", "kind"), [(302, Unreachable), (401, NotAllowed), (404, NotFound), (410, NotFound)]
    )
    async def test_a_refusal_is_raised_in_the_servers_words(self, wire, api, status, kind):
        wire.get("/api/projects/p1/export/j1/download").mock(return_value=httpx.Response(status, json={"error": "no"}))
        with pytest.raises(kind):
            async with api.open_download("p1", "j1", {}):
                pytest.fail("it was refused")
