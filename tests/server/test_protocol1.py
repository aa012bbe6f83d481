"""What a client of protocol 1 was recorded to ask a production server, asked of ours: it understands every answer.

Every recorded request is sent again, its ids, cookies and tokens replaced by ours. The answer has the recorded status,
the recorded cookies and headers of an archive, and every recorded key with a value of the recorded type, or the
difference stands below with its reason.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from email.utils import parsedate
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher

from exportctl.server.people.database import open_people
from exportctl.server.people.passwords import Passwords
from exportctl.server.people.people import people_file
from exportctl.server.people.users import Users
from server.conftest import serving, write_images
from wire.server1 import IS_RECORDED, RECORDED, transcript

pytestmark = pytest.mark.skipif(not IS_RECORDED, reason="no recorded transcripts beside the checkout")

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOBODY = "00000000-0000-4000-8000-000000000000"
PASSWORD = "ana's long password"


ANSWERED_OTHERWISE = {
    ("POST", "/api/projects/ID/export", 429): ({200}, "jobs of a user queue here"),
    ("POST", "/api/projects/ID/export", 500): ({400, 404}, "a broken body, an unknown project: told as what they are"),
    ("POST", "/api/projects/ID/export", 400): (
        {200, 400, 422},
        "what is missing is a default, what is wrong is named",
    ),
    ("POST", "/api/projects/ID/export", 200): ({200, 422}, "production takes nonsense, and fails later or ignores it"),
    ("POST", "/api/projects/nope/export", 400): ({404}, "an id that is none is one that nobody has"),
    ("GET", "/api/projects/ID/export/nope/status", 400): ({404}, "the same"),
    ("GET", "/api/projects/nope/export/nope/status", 400): ({404}, "the same"),
    ("GET", "/api/projects/ID/export/nope/download", 400): ({404}, "the same"),
    ("GET", "/api/projects/nope/export/history", 400): ({200}, "the empty list of any unknown project"),
    ("GET", "/api/projects/ID/export", 404): ({405}, "there is such a path, for POST"),
    ("DELETE", "/api/projects/ID/export/ID/cancel", 404): ({405}, "the same"),
    ("OPTIONS", "/api/projects/ID/export", 204): ({405}, "pages of other origins may not use this server"),
    ("GET", "/api/projects/ID/export/history", 304): ({200}, "answers that change have no validator"),
    ("POST", "/api/projects/ID/export/ID/cancel", 200): ({200, 404}, "an unknown or foreign job is not there"),
    ("POST", "/api/auth/login", 500): ({400}, "a broken body is the client's fault"),
    ("POST", "/api/auth/register", 201): ({404}, "users are added by whoever runs the server"),
}
"""Recorded answers that ours are unlike on purpose: our statuses, and why."""

NOT_KNOWN_HERE = {
    "/api/auth/login": (".details", ".data.user.profile"),
    "/api/auth/profile": (".data.language", ".data.settings", ".data.stats", ".data.theme"),
    "/api/projects": tuple(
        f".data[].{name}"
        for name in (
            *("completionPercentage", "failedCount", "pendingCount", "processingCount", "segmentedCount"),
            *("folderItems", "images", "isOwned", "isShared", "owner", "shares", "thumbnailUrl", "type", "user"),
            "lastActivity",
        )
    ),
    "/api/projects/ID": (".data.images[].segmentationStatus", ".data.type", ".data.user"),
    "/api/projects/ID/export/history": ("[].options.pixelToMicrometerScale",),  # null: these have none
    "/api/health": (".data", ".message"),
}
"""What the platform around a production server knows, and an export server does not."""


def scenarios():
    return sorted(path.stem for path in RECORDED.glob("*.ndjson"))


def exchanges():
    """Each recorded request once, with its answer; those that were never answered are left out."""
    seen = {}
    for scenario in scenarios():
        asked = {}
        for line in transcript(scenario):
            if line["dir"] == "http-request":
                asked[line["method"], line["path"]] = line
            elif line["dir"] == "http-response" and line.get("status") and line.get("path", "").startswith("/api"):
                request, body = asked[line["method"], line["path"]], line.get("body")
                said = body.get("error") if isinstance(body, dict) else None
                about = json.dumps(request.get("body"))
                key = (line["method"], UUID.sub("ID", line["path"]), line["status"], said, about)
                seen.setdefault(key, (request, line))
    return list(seen.values())


@pytest.fixture
async def site(settings_for, tmp_path):
    settings = settings_for(write_images(tmp_path / "small", 2), people=True, workers=1)
    settings.state.mkdir(parents=True)
    with contextlib.closing(open_people(people_file(settings.state))) as db:
        hasher = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        Users(db, hasher, settings.clocks.now, settings.new_id).set("ana@example.com", PASSWORD)
    async with serving(settings) as running:
        yield running


async def sign_in(client):
    await client.post("/api/auth/login", json={"email": "ana@example.com", "password": PASSWORD, "rememberMe": True})


@contextlib.asynccontextmanager
async def signed_in(site):
    async with site.client(token=None) as client:
        await sign_in(client)
        yield client


def lacking(recorded, ours, at=""):
    """Name what a client would look for and not find, or find to be of another type."""
    if recorded is None or ours is None:
        return set() if recorded is None else {at}
    if isinstance(recorded, dict):
        if not isinstance(ours, dict):
            return {at}
        return {name for key, value in recorded.items() for name in lacking(value, ours.get(key), f"{at}.{key}")}
    if isinstance(recorded, list):
        pairs = [(recorded[0], one) for one in ours[:1]] if recorded and isinstance(ours, list) else []
        return {name for one, other in pairs for name in lacking(one, other, f"{at}[]")}
    kinds = (int, float) if isinstance(recorded, int | float) and not isinstance(recorded, bool) else type(recorded)
    return set() if isinstance(ours, kinds) else {at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What stands for the recorded ids, tokens and validators."""

    project: str
    job: str
    token: str
    foreign_token: str
    etag: str

    def path(self, asked, status):
        """Return the recorded path with our ids in it; what was not there is not here either."""
        path, job = asked["path"], NOBODY if status == 404 else self.job
        for recorded, own in zip(UUID.findall(path), (self.project, job), strict=False):
            path = path if recorded == NOBODY else path.replace(recorded, own)
        tokens = {401: "abc.def", 403: self.foreign_token}
        return path.replace("<masked>", quote(tokens.get(status, self.token)))

    def content(self, asked, status):
        body = asked.get("body")
        if isinstance(body, dict) and "password" in body:
            body = body | {"password": PASSWORD if status < 400 else body["password"]}
        return asked.get("text") or (None if body is None else json.dumps(body))

    def headers(self, asked):
        taken = {"range", "if-range", "if-none-match", "if-match", "content-type"}
        found = {name: value for name, value in asked["headers"] if name.lower() in taken}
        return {name: self.etag if value.startswith("W/") else value for name, value in found.items()}


async def ours_of(site, client):
    jobs = [await site.start(client, {"pixelToMicrometerScale": 0.5}) for _ in range(2)]
    for job in jobs:
        assert (await site.events(client, job))[-1]["event"] == "export:completed"
    tokens = [(await client.post(f"{site.job_path(job)}/download-token")).json()["token"] for job in jobs]
    etag = (await client.head(f"{site.job_path(jobs[0])}/download")).headers["etag"]
    return Ours(project=site.project.id, job=jobs[0], token=tokens[0], foreign_token=tokens[1], etag=etag)


HEADERS = ("accept-ranges", "content-disposition", "content-range", "last-modified", "retry-after")
"""Those that a client goes by, where the recorded answer has them."""


def headers_lacking(recorded, ours):
    """Name the recorded headers that ours lacks, or has in another form; values that depend on the archive are ours."""
    given = {name.lower(): value for name, value in recorded}
    found = {name for name in HEADERS if name in given and not is_alike(name, given[name], ours.get(name, ""))}
    if given.get("content-type", "").partition(";")[0] != ours.get("content-type", "").partition(";")[0]:
        found.add("content-type")
    cookies = sorted(cookie_of(value) for name, value in recorded if name.lower() == "set-cookie")
    return found | (set() if cookies == sorted(map(cookie_of, ours.get_list("set-cookie"))) else {"set-cookie"})


def is_alike(name, recorded, ours):
    if name == "content-disposition":
        wanted = recorded.partition('filename="')[2].rstrip('"')
        # What is no plain word is made safe in our own way; where nothing was asked for, we name the project.
        return ours.startswith(
            'attachment; filename="' + (f'{wanted}"' if re.fullmatch(r"[a-z]+\.zip", wanted) else "")
        )
    return (
        bool(parsedate(ours)) if name == "last-modified" else re.sub(r"\d+", "0", ours) == re.sub(r"\d+", "0", recorded)
    )


def cookie_of(value):
    """A cookie's name and attributes; how one is taken away is left to the server.

    For 7 days or for 30 is the session's, and not every session here is the recorded one.
    """
    name, _, rest = value.partition("=")
    given, *attributes = (part.strip().lower().replace("2592000", "604800") for part in rest.split(";"))
    kept = sorted(one for one in attributes if not one.startswith("expires="))
    return name, *([one for one in kept if one.startswith("path=")] if given in {"", '""'} else kept)


def differences(asked, answered, answer):
    """Say how an answer differs from the recorded one, where that is not known and right."""
    at = (answered["method"], UUID.sub("ID", asked["path"]).partition("?")[0], answered["status"])
    if at in ANSWERED_OTHERWISE:
        expected, _why = ANSWERED_OTHERWISE[at]
        return [] if answer.status_code in expected else [(at, answer.status_code)]
    body = answered.get("body")
    found = [] if answer.status_code == answered["status"] else [(at, answer.status_code)]
    found += [(at, name) for name in headers_lacking(answered["headers"], answer.headers)]
    if isinstance(body, dict | list) and "sha256" not in body:
        missing = lacking(body, answer.json())
        found += [(at, name) for name in missing if not name.startswith(NOT_KNOWN_HERE.get(at[1], ("no such",)))]
    return found


async def test_every_recorded_request_is_answered_so_that_its_client_understands(site):
    found = []
    async with signed_in(site) as client, site.client(token=None) as nobody:
        ours = await ours_of(site, client)
        for asked, answered in exchanges():
            status = answered["status"]
            if not client.cookies:
                await sign_in(client)
            had = any(name.lower() == "cookie" for name, _ in asked["headers"])
            answer = await (client if had and status != 401 else nobody).request(
                answered["method"],
                ours.path(asked, status),
                content=ours.content(asked, status),
                headers=ours.headers(asked),
            )
            nobody.cookies.clear()
            found += differences(asked, answered, answer)
    assert found == []
