"""Two users of one server, every route and every event: nobody reaches what is another's, or learns where it lies."""

import json

import pytest

from exportctl.server import sqlite_log
from exportctl.server.job import ENDS
from exportctl.server.sockets import Sockets
from server.conftest import OTHER_TOKEN, TOKEN, serving, write_images
from server.socket_client import connected

FOREIGN = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
HEADERS = ["content-security-policy", "x-content-type-options", "referrer-policy", "cache-control", "x-frame-options"]
GUESSES = ["message", "join", "join-project", "subscribe", "__disconnect_final", "*", "enter_room", ""]
ELSEWHERE = ["/", "/nothing", "/page/page.js", "/page/../x", "/api/%2e%2e/%2fetc", "/socket.io/?EIO=9"]
ELSEWHERE += ["/socket.io/?EIO=4&transport=polling"]


@pytest.fixture
async def server(settings_for, tmp_path):
    folder = write_images(tmp_path / "cells", 40)
    async with serving(settings_for(folder, people=True, workers=1, jobs_at_once=1)) as running:
        yield running


async def operations(client):
    paths = (await client.get("/api/openapi.json")).json()["paths"]
    return [(verb.upper(), path, operation) for path, verbs in paths.items() for verb, operation in verbs.items()]


async def jobs_of_ana(server, client):
    """One that has ended, and one that has not."""
    done = await server.start(client)
    assert (await server.events(client, done))[-1]["event"] == "export:completed"
    return [done, await server.start(client)]


def filled(path, server, job):
    return path.replace("{project}", server.project.id).replace("{job}", job).replace("{token}", "nobody")


def body_of(verb):
    return {"json": {}} if verb == "POST" else {}


async def test_every_route_of_a_job_is_404_for_another_user_and_no_other_tells_of_it(server):
    async with server.client() as ana, server.client(OTHER_TOKEN) as ben:
        jobs, tried = await jobs_of_ana(server, ana), 0
        for job in jobs:
            for verb, path, _ in await operations(ben):
                answer = await ben.request(verb, filled(path, server, job), **body_of(verb))
                if "{job}" in path:
                    assert answer.status_code == 404, (verb, path)
                    tried += 1
                assert job not in answer.text.replace(str(answer.url), ""), (verb, path)
        assert tried > 20
        assert (await ana.get(f"/api/export/{jobs[0]}")).json()["status"] == "completed"
        assert (await server.events(ana, jobs[1]))[-1]["event"] == "export:completed"


async def test_what_is_anothers_is_not_even_read_so_that_the_time_of_a_refusal_tells_nothing(server, monkeypatch):
    async with server.client() as ana, server.client(OTHER_TOKEN) as ben, connected(server.url, OTHER_TOKEN) as socket:
        job, read, load = await server.start(ana), [], sqlite_log._load
        await ana.post(f"{server.job_path(job)}/cancel")
        await server.events(ana, job)  # it has no archive for the server itself to look at
        monkeypatch.setattr(sqlite_log, "_load", lambda *row: read.append(row) or load(*row))
        for verb, path, _ in await operations(ben):
            if "{job}" in path:
                del read[:]
                assert (await ben.request(verb, filled(path, server, job), **body_of(verb))).status_code == 404
                assert job not in str(read), (verb, path)
        for name in ("export:subscribe", "export:unsubscribe", "export:cancel", "operation:cancel"):
            del read[:]
            assert not (await socket.call(name, {"jobId": job, "operationId": job}))["ok"]
            assert job not in str(read), name


async def test_whoever_is_not_signed_in_gets_what_the_description_leaves_open_and_no_more(server):
    async with server.client() as ana, server.client(token=None) as nobody:
        job = (await jobs_of_ana(server, ana))[0]
        for verb, path, operation in await operations(nobody):
            answer = await nobody.request(verb, filled(path, server, job), **body_of(verb))
            assert (answer.status_code == 401) or operation["security"] == [], (verb, path)


async def test_a_page_of_another_origin_can_neither_do_nor_read_anything(server):
    async with server.client(token=None) as browser:
        for verb, path, _ in await operations(browser):
            # With whatever cookie: where it comes from is looked at first.
            answer = await browser.request(
                verb, filled(path, server, "x"), headers=FOREIGN | {"Cookie": "access_token=x"}
            )
            assert verb in {"GET", "HEAD"} or answer.status_code == 403, (verb, path)
            assert "access-control-allow-origin" not in answer.headers
            preflight = await browser.options(filled(path, server, "x"), headers=FOREIGN)
            assert "access-control-allow-origin" not in preflight.headers
        place = "/socket.io/?EIO=4&transport=polling"
        assert (await browser.get(place, headers=FOREIGN)).status_code == 400


async def test_every_answer_has_the_headers_and_none_has_a_path_of_this_machine(server, tmp_path):
    async with server.client() as ana, server.client(token=None) as nobody:
        jobs = await jobs_of_ana(server, ana)
        asked = [(verb, filled(path, server, job)) for job in (jobs[0], "x") for verb, path, _ in await operations(ana)]
        asked += [("PUT", "/api/projects"), *(("GET", path) for path in ELSEWHERE)]
        for client in (ana, nobody):
            for verb, path in asked:
                answer = await client.request(verb, path, **body_of(verb))
                assert all(name in answer.headers for name in HEADERS), (verb, path)
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "strict-transport-security" not in answer.headers
                if "zip" not in answer.headers.get("content-type", ""):
                    assert str(tmp_path) not in answer.text, (verb, path)
        tls = await nobody.get("/api/health", headers={"X-Forwarded-Proto": "https"})
        assert tls.headers["strict-transport-security"].startswith("max-age=")


@pytest.fixture
def made(monkeypatch):
    """The sockets of the server that is made after this."""
    found = []
    monkeypatch.setattr("exportctl.server.app.Sockets", lambda site: found.append(Sockets(site)) or found[-1])
    return found


async def test_every_event_about_a_job_of_another_user_is_as_about_none(made, server, tmp_path):
    names = set(made[0].server.handlers["/"]) - {"connect", "disconnect"}
    assert {"export:subscribe", "export:cancel", "operation:cancel"} <= names
    async with (
        server.client() as ana,
        connected(server.url, OTHER_TOKEN) as ben,
        connected(server.url, TOKEN) as socket,
    ):
        jobs = await jobs_of_ana(server, ana)
        for job in jobs:
            asked = {"jobId": job, "operationId": job, "after": 0, "projectId": server.project.id}
            told = {name: await ben.call(name, asked) for name in sorted(names - {"export:history"})}
            none = asked | {"jobId": "nobody", "operationId": "nobody"}
            assert told == {name: await ben.call(name, none) for name in told}
            assert {answer["ok"] for answer in told.values()} == {False}
            assert (await ben.call("export:history", asked))["jobs"] == []
            for name in (*GUESSES, f"export:{job}", f"history:{server.project.id}"):
                await ben.send(name, job)
                await ben.send(name, {"room": f"export:{job}", **asked})
        assert (await socket.call("export:cancel", {"jobId": jobs[1]}))["ok"]
        await socket.wait(lambda s: any(name in ENDS for name, _ in s.of(jobs[1])))
        assert (await ben.call("export:history", {"projectId": server.project.id}))["ok"]
        said = json.dumps([(name, data) for name, data in ben.events if name != "operation:cancel-ack"])
        assert not any(job in said for job in jobs)
        assert str(tmp_path) not in said + json.dumps(socket.events)


async def test_a_socket_of_another_origin_gets_no_handshake(server):
    async with server.client(token=None) as browser:
        for headers in (FOREIGN, {"Origin": "null"}, {"Origin": server.url.replace("127.0.0.1", "localhost")}):
            answer = await browser.get("/socket.io/?EIO=4&transport=polling", headers=headers)
            assert answer.status_code == 400
        answer = await browser.get("/socket.io/?EIO=4&transport=polling", headers={"Origin": server.url})
        assert answer.status_code == 200
