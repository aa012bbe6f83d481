"""The HTTP API: who may ask, what is answered, and that nothing of this machine is told."""

import asyncio
import json
import os

import pytest

from exportctl.server import answers
from server.conftest import OTHER_TOKEN, TOKEN, serving, write_images

SOME_JOB = "00000000-0000-4000-8000-000000000000"


def refusal(answer):
    body = answer.json()
    assert body["success"] is False
    return answer.status_code, body["code"]


async def test_every_answer_says_that_it_is_protocol_2_whatever_it_is(server):
    async with server.client() as client:
        for path in ("/api/health", "/api/projects", "/api/nope", "/api/export/formats", f"/api/export/{SOME_JOB}"):
            assert (await client.get(path)).headers["Export-Protocol"] == "2"
        assert (await client.delete("/api/projects")).headers["Export-Protocol"] == "2"


async def test_health_needs_no_token_and_names_its_parts(server):
    async with server.client(token=None) as client:
        answer = await client.get("/api/health")
    assert answer.status_code == 200
    assert {part: state["status"] for part, state in answer.json()["parts"].items()} == {
        "log": "healthy",
        "pool": "healthy",
        "jobs": "healthy",
        "disk": "healthy",
    }


@pytest.mark.parametrize("token", [None, "wrong", "token-of-anA", "ž"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/projects"),
        ("GET", "/api/export/formats"),
        ("POST", "/api/projects/x/export"),
        ("GET", f"/api/export/{SOME_JOB}"),
        ("GET", f"/api/projects/x/export/{SOME_JOB}/events"),
        ("POST", f"/api/projects/x/export/{SOME_JOB}/cancel"),
        ("GET", f"/api/projects/x/export/{SOME_JOB}/download"),
        ("GET", "/api/projects/x/export/history"),
    ],
)
async def test_without_the_right_token_everything_is_401(server, token, method, path):
    headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
    async with server.client(token=None) as client:
        answer = await client.request(method, path, headers=headers)
    assert refusal(answer) == (401, "UNAUTHORIZED")
    assert answer.json()["hint"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_projects_are_paged_and_searched_and_equal_names_told_apart(settings_for, tmp_path):
    folders = [write_images(tmp_path / parent / "cells", 2) for parent in "abc"] + [tmp_path / "a" / "cells"]
    async with serving(settings_for(*folders)) as server, server.client() as client:
        answer = (await client.get("/api/projects", params={"limit": 2})).json()
        assert [project["title"] for project in answer["projects"]] == ["cells", "cells (2)"]
        assert [project["imageCount"] for project in answer["projects"]] == [2, 2]
        assert answer["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2}
        found = (await client.get("/api/projects", params={"search": "CELLS (3", "page": 1})).json()
        assert [project["title"] for project in found["projects"]] == ["cells (3)"]
        one = (await client.get(f"/api/projects/{found['projects'][0]['id']}")).json()["data"]
        assert [(image["id"], image["fileSize"] > 0) for image in one.pop("images")] == [
            ("cell 0001.png", True),
            ("cell 0002.png", True),
        ]
        assert one == found["projects"][0]


@pytest.mark.parametrize("name", ["images", "images-with-thumbnails"])
async def test_a_projects_images_are_paged_and_their_ids_can_be_selected(server, name):
    async with server.client() as client:
        whole = (await client.get(f"/api/projects/{server.project.id}")).json()["data"]["images"]
        path, seen = f"/api/projects/{server.project.id}/{name}", []
        for page in (1, 2, 3, 4):
            data = (await client.get(path, params={"page": page, "limit": 5, "lod": "low"})).json()["data"]
            assert data["pagination"] == {"page": page, "limit": 5, "total": 12, "totalPages": 3}
            seen += data["images"]
        assert seen == whole
        assert (await client.get("/api/projects/nobody/images")).status_code == 404
        job = await server.start(client, {"selectedImageIds": [seen[3]["id"]]})
        assert (await server.events(client, job))[0]["data"]["total"] == 1


async def test_names_that_are_not_utf8_are_listed_and_can_be_selected(settings_for, tmp_path):
    folder = tmp_path / os.fsdecode(b"plate \xfe")
    write_images(tmp_path / "plate", 2).rename(folder)  # OpenCV cannot write there
    odd = os.fsdecode(b"odd\xff.png")
    (folder / "cell 0001.png").rename(folder / odd)
    async with serving(settings_for(folder)) as server, server.client() as client:
        projects = (await client.get("/api/projects")).json()["projects"]
        assert [(one["title"], one["imageCount"]) for one in projects] == [("plate \\xfe", 2)]
        images = (await client.get(f"/api/projects/{server.project.id}")).json()["data"]["images"]
        assert {image["id"] for image in images} == {"cell 0002.png", "odd\\xff.png"}
        job = await server.start(client, {"selectedImageIds": ["odd\\xff.png"]})
        events = await server.events(client, job)
    assert events[0]["data"]["total"] == 1
    assert events[-1]["event"] == "export:completed"


async def test_a_projects_id_is_the_same_after_a_restart(settings_for, cells):
    ids = []
    for _ in range(2):
        async with serving(settings_for(cells)) as server, server.client() as client:
            ids.append((await client.get("/api/projects")).json()["projects"][0]["id"])
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "BROKEN_JSON")),
        (b"[]", (400, "NOT_AN_OBJECT")),
        (b"\xff", (400, "BROKEN_JSON")),
        (b"[" * 100_000, (400, "BROKEN_JSON")),
        (b'{"options":{"x":' + b"[" * 500 + b"]" * 500 + b"}}", (400, "BROKEN_JSON")),
        (b'{"options": {"annotationFormats": ["word"]}}', (422, "BAD_OPTIONS")),
        (b'{"options": 7}', (422, "BAD_OPTIONS")),
        (b'{"projectName": 7}', (422, "BAD_PARAMETER")),
        (json.dumps({"projectName": "x" * 5000}).encode(), (422, "BAD_PARAMETER")),
        (b'{"options": "' + b"x" * (1 << 20) + b'"}', (413, "BODY_TOO_LARGE")),
    ],
)
async def test_a_start_that_is_wrong_is_refused_in_words(server, body, expected):
    async with server.client() as client:
        answer = await client.post(f"/api/projects/{server.project.id}/export", content=body)
    assert refusal(answer) == expected


async def test_a_job_and_a_project_of_somebody_else_are_not_there(server):
    async with server.client() as client, server.client(OTHER_TOKEN) as other:
        job_id = await server.start(client)
        await server.events(client, job_id)
        path = server.job_path(job_id)
        for found in (f"{path}/status", f"{path}/events", f"{path}/download", f"/api/export/{job_id}"):
            assert (await client.get(found)).status_code == 200
            assert refusal(await other.get(found)) == (404, "JOB_NOT_FOUND")
        assert refusal(await other.post(f"{path}/cancel")) == (404, "JOB_NOT_FOUND")
        assert (await other.get(f"/api/projects/{server.project.id}/export/history")).json() == []
        assert refusal(await client.get(f"/api/projects/another/export/{job_id}/status")) == (404, "JOB_NOT_FOUND")
        assert refusal(await client.post("/api/projects/another/export", json={})) == (404, "PROJECT_NOT_FOUND")


async def test_a_repeated_post_with_the_same_key_is_the_same_job(server):
    path = f"/api/projects/{server.project.id}/export"
    async with server.client() as client, server.client(OTHER_TOKEN) as other:
        bodies = [{"options": {"includeDocumentation": False}}] * 5
        posts = [client.post(path, json=body, headers={"Idempotency-Key": "k"}) for body in bodies]
        jobs = {answer.json()["jobId"] for answer in await asyncio.gather(*posts)}
        assert len(jobs) == 1
        changed = await client.post(path, json={"options": {}}, headers={"Idempotency-Key": "k"})
        assert refusal(changed) == (422, "IDEMPOTENCY_KEY_REUSED")
        theirs = await other.post(path, json=bodies[0], headers={"Idempotency-Key": "k"})
        assert theirs.json()["jobId"] not in jobs
        await server.events(client, jobs.pop())
        await server.events(other, theirs.json()["jobId"])


async def test_jobs_of_a_user_queue_up_to_the_limit(settings_for, cells):
    async with (
        serving(settings_for(cells, jobs_per_user=3)) as server,
        server.client() as client,
        server.client(OTHER_TOKEN) as other,
    ):
        path = f"/api/projects/{server.project.id}/export"
        answers = await asyncio.gather(*(client.post(path, json={}) for _ in range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200, 200, 200, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refusal(refused) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(refused.headers["Retry-After"]) > 0
        jobs = [answer.json()["jobId"] for answer in answers if answer.status_code == 200]
        theirs = await server.start(other)
        for job_id in jobs:
            assert (await server.events(client, job_id))[-1]["event"] == "export:completed"
        assert (await server.events(other, theirs))[-1]["event"] == "export:completed"
        assert await server.start(client) not in jobs
        history = (await client.get(f"{path}/history", params={"limit": 3})).json()
        assert len(history) == 3
        assert history[1]["id"] in jobs


async def test_jobs_of_all_users_queue_up_to_the_servers_limit(settings_for, cells):
    async with (
        serving(settings_for(cells, jobs=2, jobs_at_once=0)) as server,
        server.client() as client,
        server.client(OTHER_TOKEN) as other,
    ):
        path = f"/api/projects/{server.project.id}/export"
        for _ in range(2):
            await server.start(client)
        refused = await other.post(path, json={})
        assert refusal(refused) == (429, "RATE_LIMIT_EXCEEDED")
        assert int(refused.headers["Retry-After"]) > 0
        assert "The server has 2" in refused.json()["error"]


async def test_a_long_poll_is_held_until_there_is_something_new(server):
    async with server.client() as client:
        job_id = await server.start(client)
        events = await server.events(client, job_id)
        last = events[-1]["data"]["seq"]
        assert [event["data"]["seq"] for event in events] == list(range(1, last + 1))
        path = server.job_path(job_id) + "/events"
        ended = (await client.get(path, params={"after": last, "wait": 30})).json()
        assert (ended["events"], ended["status"], ended["lastSeq"], ended["gap"]) == ([], "completed", last, False)
        page = (await client.get(path, params={"after": 1, "limit": 2, "log": ended["log"]})).json()
        assert [event["data"]["seq"] for event in page["events"]] == [2, 3]


@pytest.mark.parametrize("params", [{"log": "another"}, {"after": 10**9}, {"after": 3, "log": "another"}])
async def test_a_client_that_counted_in_another_log_gets_all_and_is_told_of_the_gap(server, params):
    async with server.client() as client:
        job_id = await server.start(client)
        events = await server.events(client, job_id)
        answer = (await client.get(server.job_path(job_id) + "/events", params=params)).json()
        assert answer["gap"] is True
        assert answer["events"] == events


@pytest.mark.parametrize("name", ["after", "wait", "limit"])
@pytest.mark.parametrize("value", ["x", "1.5", "٣", "0x1"])
async def test_a_number_that_is_none_is_refused(server, name, value):
    async with server.client() as client:
        job_id = await server.start(client)
        answer = await client.get(server.job_path(job_id) + "/events", params={name: value})
        assert refusal(answer) == (400, "BAD_PARAMETER")
        await server.events(client, job_id)


async def test_status_says_what_the_last_event_said(server):
    async with server.client() as client:
        job_id = await server.start(client, **{"X-Correlation-ID": "run-7"})
        events = await server.events(client, job_id)
        status = (await client.get(f"/api/export/{job_id}")).json()
    ready = next(event["data"] for event in events if event["event"] == "export:download-ready")
    assert status["id"] == job_id
    assert status["projectId"] == server.project.id
    assert (status["status"], status["phase"], status["progress"]) == ("completed", "downloading", 100)
    assert status["lastSeq"] == events[-1]["data"]["seq"]
    assert status["archive"] == {name: ready[name] for name in ("fileName", "fileSize", "sha256")}
    assert status["error"] is None
    assert status["createdAt"] <= status["completedAt"]
    assert {event["data"]["correlationId"] for event in events} == {"run-7"}


async def test_cancelling_what_has_ended_changes_nothing(server):
    async with server.client() as client:
        job_id = await server.start(client)
        events = await server.events(client, job_id)
        for _ in range(2):
            answer = await client.post(server.job_path(job_id) + "/cancel", json={"reason": "too late"})
            assert (answer.status_code, answer.json()["status"]) == (200, "completed")
        assert await server.events(client, job_id) == events
        assert (await client.get(server.job_path(job_id) + "/download")).status_code == 200


async def test_a_path_nobody_serves_is_404_in_our_form(server):
    async with server.client() as client:
        assert refusal(await client.get("/api/nope")) == (404, "NOT_FOUND")
        assert refusal(await client.delete("/api/projects")) == (405, "METHOD_NOT_ALLOWED")


async def test_a_body_that_does_not_come_in_time_or_not_whole_is_refused(server, monkeypatch):
    monkeypatch.setattr(answers, "BODY_SECONDS", 0.05)
    host, port = server.url.removeprefix("http://").split(":")
    path = f"/api/projects/{server.project.id}/export"
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 10\r\n\r\n{{"
    writer.write(head.encode())
    told = await reader.read()
    assert told.startswith(b"HTTP/1.1 408")
    assert b"BODY_TOO_SLOW" in told
    writer.close()
    await writer.wait_closed()
