"""Download tokens: a link that opens one archive for ten minutes, without a cookie and beyond its life."""

import stat
import zipfile
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.tickets import TICKET_SECONDS, TicketError, Tickets, key_in
from server.conftest import OTHER_TOKEN, serving, write_images

KEY = b"k" * 32


def refusal(answer):
    return answer.status_code, answer.json()["code"]


async def finished(server, client):
    job = await server.start(client)
    assert (await server.events(client, job))[-1]["event"] == "export:completed"
    return job


async def test_a_token_opens_its_archive_to_whoever_has_it_and_outlives_a_restart(settings_for, tmp_path):
    settings = settings_for(write_images(tmp_path / "small", 2), workers=1)
    async with serving(settings) as server, server.client() as client, server.client(OTHER_TOKEN) as other:
        job = await finished(server, client)
        path = server.job_path(job)
        assert refusal(await other.post(f"{path}/download-token")) == (404, "JOB_NOT_FOUND")
        given = (await client.post(f"{path}/download-token")).json()
        assert 0 < given["expiresAt"] / 1000 - settings.clocks.now() <= TICKET_SECONDS
    async with serving(settings) as server, server.client(token=None) as nobody:
        params = {"token": given["token"], "filename": '../Sféra "2"'}
        answer = await nobody.get(f"{path}/download", params=params)
        assert zipfile.ZipFile(BytesIO(answer.content)).testzip() is None
        said = answer.headers["Content-Disposition"]
        assert said == "attachment; filename=\"Sf_ra _2_.zip\"; filename*=UTF-8''Sf%C3%A9ra%20%222%22.zip"
        assert (await nobody.head(f"{path}/download", params=params)).status_code == 200
        assert (await nobody.get(f"/api/export/{job}/download", params={**params, "live": 1})).content == answer.content
        assert refusal(await nobody.get(f"{path}/status", params=params)) == (401, "UNAUTHORIZED")
        assert refusal(await nobody.get(f"{path}/download", params={"token": "abc"})) == (401, "UNAUTHORIZED")
        assert refusal(await nobody.get(f"{path}/download")) == (401, "UNAUTHORIZED")


async def test_a_token_opens_no_other_job_and_there_is_none_before_the_end(settings_for, tmp_path):
    settings = settings_for(write_images(tmp_path / "some", 100), workers=1)
    async with serving(settings) as server, server.client() as client, server.client(token=None) as nobody:
        running = await server.start(client)
        assert refusal(await client.post(f"{server.job_path(running)}/download-token")) == (404, "NOT_COMPLETED")
        assert (await server.events(client, running))[-1]["event"] == "export:completed"
        token = (await client.post(f"{server.job_path(running)}/download-token")).json()["token"]
        other = await finished(server, client)
        answer = await nobody.get(f"{server.job_path(other)}/download", params={"token": token})
        assert refusal(answer) == (403, "FORBIDDEN")
        answer = await nobody.get(f"/api/projects/another/export/{running}/download", params={"token": token})
        assert refusal(answer) == (404, "JOB_NOT_FOUND")


def test_a_tokens_time_ends():
    now = [1000.0]
    tickets = Tickets(KEY, lambda: now[0])
    token, expires = tickets.make("job")
    tickets.check(token, "job")
    now[0] = expires
    with pytest.raises(TicketError, match="expired"):
        tickets.check(token, "job")


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}", fullmatch=True)))
def test_no_other_text_is_a_token(text):
    tickets = Tickets(KEY, lambda: 1000.0)
    good, _ = tickets.make("job")
    for rubbish in (
        text,
        f"{text}.{good.partition('.')[2]}",
        f"{good}{text or 'x'}",
        Tickets(b"x", lambda: 0).make("job")[0],
    ):
        with pytest.raises(TicketError):
            tickets.check(rubbish, "job")


def test_the_key_is_its_owners_alone_and_made_anew_where_it_is_damaged(tmp_path):
    path = tmp_path / "tickets.key"
    first = key_in(path)
    assert (key_in(path), len(first), stat.S_IMODE(path.stat().st_mode)) == (first, 32, 0o600)
    path.write_text("rubbish")
    assert key_in(path) != first
