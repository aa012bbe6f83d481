"""Signing in over HTTP and on the socket, and that nobody reaches what is another's."""

import asyncio
import contextlib
from collections import Counter

import httpx
import pytest
from argon2 import PasswordHasher

from exportctl.server.people.attempts import FAILURES_FOR_EMAIL
from exportctl.server.people.database import open_people
from exportctl.server.people.passwords import Passwords
from exportctl.server.people.people import people_file
from exportctl.server.people.sessions import Sessions
from exportctl.server.people.users import Users
from server.conftest import serving
from server.socket_client import connected

PASSWORDS = {"ana@example.com": "ana's long password", "ben@example.com": "ben's long password"}
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def site(settings_for, cells):
    settings = settings_for(cells, people=True, workers=1)
    settings.state.mkdir(parents=True)
    with contextlib.closing(open_people(people_file(settings.state))) as db:
        users = Users(db, Passwords(CHEAP), settings.clocks.now, settings.new_id)
        for email, password in PASSWORDS.items():
            users.set(email, password)
    async with serving(settings) as running:
        yield running


@contextlib.asynccontextmanager
async def signed_in(site, email="ana@example.com", **more):
    async with site.client(token=None) as client:
        answer = await client.post("/api/auth/login", json={"email": email, "password": PASSWORDS[email], **more})
        assert answer.status_code == 200, answer.text
        yield client


def refusal(answer):
    return answer.status_code, answer.json()["code"]


async def test_the_cookies_are_those_of_protocol_1(site):
    async with site.client(token=None) as client:
        body = {"email": "Ana@example.com", "password": PASSWORDS["ana@example.com"], "rememberMe": True}
        answer = await client.post("/api/auth/login", json=body)
    cookies = {}
    for header in answer.headers.get_list("set-cookie"):
        (name, _value), *attributes = [tuple(part.strip().partition("=")[::2]) for part in header.split(";")]
        cookies[name] = dict(attributes)
    assert {name: (given["Max-Age"], given["Path"]) for name, given in cookies.items()} == {
        "access_token": ("900", "/"),
        "refresh_token": ("2592000", "/api/auth"),
        "authenticated": ("2592000", "/"),
    }
    assert {name for name, given in cookies.items() if "HttpOnly" in given} == {"access_token", "refresh_token"}
    assert {given["SameSite"].lower() for given in cookies.values()} == {"strict"}
    assert all("Secure" not in given for given in cookies.values())
    assert answer.json()["data"]["user"]["email"] == "ana@example.com"


async def test_behind_a_proxy_that_speaks_tls_the_cookies_are_secure(site):
    async with site.client(token=None, follow_redirects=False) as client:
        body = {"email": "ana@example.com", "password": PASSWORDS["ana@example.com"]}
        answer = await client.post("/api/auth/login", json=body, headers={"X-Forwarded-Proto": "https"})
    assert all("Secure" in header for header in answer.headers.get_list("set-cookie"))


async def test_a_session_starts_follows_and_fetches_an_export(site):
    async with signed_in(site) as client:
        job = await site.start(client)
        assert (await site.events(client, job))[-1]["event"] == "export:completed"
        assert (await client.get(site.job_path(job) + "/download")).status_code == 200
        assert (await client.get("/api/auth/profile")).json()["data"]["email"] == "ana@example.com"


async def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_session(site):
    async with signed_in(site) as client:
        first = client.cookies["refresh_token"]
        assert (await client.post("/api/auth/refresh")).status_code == 200
        assert client.cookies["refresh_token"] != first
        async with site.client(token=None, cookies={"refresh_token": first}) as thief:
            assert refusal(await thief.post("/api/auth/refresh")) == (401, "UNAUTHORIZED")
        assert refusal(await client.get("/api/projects")) == (401, "UNAUTHORIZED")
        assert refusal(await client.post("/api/auth/refresh")) == (401, "UNAUTHORIZED")


async def test_a_full_disk_is_told_to_whoever_signs_in_and_ends_no_session(site, monkeypatch):
    def issue(self, *_):
        self._db.execute("PRAGMA max_page_count = 1")
        self._db.execute("INSERT INTO tokens SELECT zeroblob(100000), '', id, '', 0 FROM users")

    async with signed_in(site) as client, site.client(token=None) as another:
        with monkeypatch.context() as full:
            full.setattr(Sessions, "_issue", issue)
            body = {"email": "ben@example.com", "password": PASSWORDS["ben@example.com"]}
            for answer in (await another.post("/api/auth/login", json=body), await client.post("/api/auth/refresh")):
                assert refusal(answer) == (503, "DISK_FULL")
                assert answer.headers["Retry-After"] == "30"
        assert (await client.get("/api/auth/profile")).status_code == 200


async def test_after_signing_out_the_old_cookies_open_nothing(site):
    async with signed_in(site) as client:
        kept = dict(client.cookies)
        assert (await client.post("/api/auth/logout")).status_code == 200
        assert dict(client.cookies) == {}
    async with site.client(token=None, cookies=kept) as client:
        assert refusal(await client.get("/api/auth/profile")) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": "ana@example.com", "password": "wrong password"}, (401, "UNAUTHORIZED")),
        ({"email": "nobody@example.com", "password": "wrong password"}, (401, "UNAUTHORIZED")),
        ({"email": "ana@example.com"}, (400, "VALIDATION_ERROR")),
        ({"email": 7, "password": "x"}, (400, "VALIDATION_ERROR")),
        ({"email": "ana@example.com", "password": ""}, (400, "VALIDATION_ERROR")),
        ({"email": "ana@example.com", "password": "x" * 2000}, (400, "VALIDATION_ERROR")),
        ({"email": ["ana@example.com"], "password": {"$ne": 1}}, (400, "VALIDATION_ERROR")),
    ],
)
async def test_what_signs_nobody_in(site, body, expected):
    async with site.client(token=None) as client:
        answer = await client.post("/api/auth/login", json=body)
    assert refusal(answer) == expected
    assert "set-cookie" not in answer.headers


async def test_after_too_many_failures_even_the_right_password_waits(site):
    async with site.client(token=None) as client:
        for _ in range(20):
            await client.post("/api/auth/login", json={"email": "ana@example.com", "password": "wrong password"})
        body = {"email": "ana@example.com", "password": PASSWORDS["ana@example.com"]}
        answer = await client.post("/api/auth/login", json=body)
        assert refusal(answer) == (429, "TOO_MANY_ATTEMPTS")
        assert 0 < int(answer.headers["Retry-After"]) <= 900
        body = {"email": "ben@example.com", "password": PASSWORDS["ben@example.com"]}
        assert (await client.post("/api/auth/login", json=body)).status_code == 200


async def test_guesses_that_come_all_at_once_are_no_more(site):
    async with site.client(token=None) as client:
        guesses = [{"email": "ana@example.com", "password": f"wrong password {number}"} for number in range(60)]
        answers = await asyncio.gather(*(client.post("/api/auth/login", json=guess) for guess in guesses))
    told = Counter(answer.status_code for answer in answers)
    # Two are looked at side by side.
    assert told.keys() == {401, 429}
    assert told[401] <= FAILURES_FOR_EMAIL + 1


async def test_an_address_is_the_same_however_its_characters_are_composed(settings_for, cells):
    settings = settings_for(cells, people=True, workers=1)
    settings.state.mkdir(parents=True)
    with contextlib.closing(open_people(people_file(settings.state))) as db:
        users = Users(db, Passwords(CHEAP), settings.clocks.now, settings.new_id)
        users.set("Andr\u00e9@example.com", "andre's long password")
    async with serving(settings) as running, running.client(token=None) as client:
        body = {"email": "andre\u0301@example.com", "password": "andre's long password"}
        assert (await client.post("/api/auth/login", json=body)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "null", "Host": ""},
    ],
)
async def test_another_sites_page_changes_nothing_by_cookie(site, headers):
    async with signed_in(site) as client:
        paths = [f"/api/projects/{site.project.id}/export", "/api/auth/tokens", "/api/auth/logout", "/api/auth/login"]
        for path in [*paths, "/api/auth/refresh"]:
            assert refusal(await client.post(path, json={}, headers=headers)) == (403, "FOREIGN_ORIGIN")
        own = {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
        assert (await client.post(paths[0], json={}, headers=own)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b'{"options": {}}', 403),
        ("Multipart/Form-Data; boundary=x", b"{}", 403),
        ("application/x-www-form-urlencoded", b"", 403),
        ("application/x-www-form-urlencoded", b"{}", 200),  # as curl sends it
        ("application/json", b"{}", 200),
        (None, b"{}", 200),
        (None, b"", 200),
    ],
)
async def test_what_a_form_can_send_needs_an_origin_to_be_taken_by_cookie(site, kind, body, status):
    async with signed_in(site) as client:
        path, headers = f"/api/projects/{site.project.id}/export", {"Content-Type": kind} if kind else {}
        assert (await client.post(path, content=body, headers=headers)).status_code == status
        own = {**headers, "Origin": site.url}
        assert (await client.post(path, content=body, headers=own)).status_code == 200
        async with site.client() as script:
            assert (await script.post(path, content=body, headers=headers)).status_code == 200


async def test_a_personal_token_is_shown_once_works_and_ends(site):
    async with signed_in(site) as client:
        made = await client.post("/api/auth/tokens", json={"name": "cron"})
        secret = made.json()["data"]["token"]
        assert made.status_code == 201
        assert secret not in (await client.get("/api/auth/tokens")).text
        async with site.client(token=secret) as script:
            assert (await script.get("/api/projects")).status_code == 200
        path = f"/api/auth/tokens/{made.json()['data']['id']}"
        async with signed_in(site, "ben@example.com") as ben:
            assert refusal(await ben.delete(path)) == (404, "TOKEN_NOT_FOUND")
        assert (await client.delete(path)).status_code == 200
        async with site.client(token=secret) as script:
            assert refusal(await script.get("/api/projects")) == (401, "UNAUTHORIZED")


async def test_a_download_link_ends_with_its_user(site):
    async with signed_in(site) as client, site.client(token=None) as nobody:
        job = await site.start(client)
        await site.events(client, job)
        path = site.job_path(job)
        link = f"{path}/download?token={(await client.post(f'{path}/download-token')).json()['token']}"
        assert (await nobody.get(link)).status_code == 200
        with contextlib.closing(open_people(people_file(site.settings.state))) as db:
            Users(db, Passwords(CHEAP), site.settings.clocks.now, site.settings.new_id).remove("ana@example.com")
        assert refusal(await nobody.get(link)) == (401, "UNAUTHORIZED")


async def test_what_is_another_users_is_not_there(site):
    async with signed_in(site) as ana, signed_in(site, "ben@example.com") as ben:
        job = await site.start(ana)
        await site.events(ana, job)
        path = site.job_path(job)
        for method, url in (
            ("GET", f"/api/export/{job}"),
            ("GET", f"{path}/status"),
            ("GET", f"{path}/events"),
            ("GET", f"{path}/download"),
            ("HEAD", f"{path}/download"),
            ("POST", f"{path}/cancel"),
        ):
            assert (await ben.request(method, url)).status_code == 404, (method, url)
        assert (await ben.get(f"/api/projects/{site.project.id}/export/history")).json() == []
        assert (await ana.get(f"{path}/status")).json()["status"] == "completed"


async def test_a_socket_is_opened_by_the_cookie_and_told_of_its_users_jobs_alone(site):
    async with signed_in(site) as ana, signed_in(site, "ben@example.com") as ben:
        job = await site.start(ana)
        async with connected(site.url, None, cookies=ben.cookies) as client:
            answer = await client.call("export:subscribe", {"jobId": job, "after": 0})
            assert (answer["ok"], answer["code"]) == (False, "JOB_NOT_FOUND")
            assert (await client.call("export:cancel", {"jobId": job}))["code"] == "JOB_NOT_FOUND"
        async with connected(site.url, None, cookies=ana.cookies) as client:
            assert (await client.call("export:subscribe", {"jobId": job, "after": 0}))["ok"]
        async with connected(site.url, None, cookies={"access_token": "rubbish"}) as client:
            assert client.refusal["message"] == "Authentication failed"


async def test_a_server_that_signs_nobody_in_has_no_sign_in(server):
    async with server.client() as client:
        answer = await client.post("/api/auth/login", json={"email": "a@b", "password": "x"})
    assert answer.status_code == 404


async def test_a_token_named_at_the_start_works_beside_the_users(site):
    async with site.client() as client:
        assert (await client.get("/api/projects")).status_code == 200
        profile = (await client.get("/api/auth/profile")).json()["data"]
        assert (profile["id"], profile["email"]) == ("ana", None)
        assert (await client.get("/api/auth/check")).json()["data"]["user"] == profile
        assert refusal(await client.post("/api/auth/tokens", json={"name": "x"})) == (403, "NO_USER")


async def test_cookies_of_nobody_are_401_with_the_way_to_sign_in(site):
    async with httpx.AsyncClient(base_url=site.url, cookies={"access_token": "rubbish"}, trust_env=False) as client:
        answer = await client.get("/api/projects")
    assert refusal(answer) == (401, "UNAUTHORIZED")
    assert "login" in answer.json()["hint"]
