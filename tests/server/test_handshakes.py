"""Handshakes of sockets: whose page may have one, how one is refused, and that every answer says the protocol."""

import asyncio
import json
import logging
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode

from authority import found_authority
from exportctl.server.settings import Tls
from server.conftest import TOKEN, serving

POLLING, SOCKET = "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=websocket"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/socket.io/?EIO=3&transport=websocket", {}, 5),
        ("/socket.io/?EIO=4&transport=pigeon", {}, 0),
        ("/socket.io/?EIO=4&transport=websocket&sid=nobody", {}, 1),
        (SOCKET, {"Origin": "https://evil.example"}, 3),
        (SOCKET, {"Origin": "null"}, 3),
        ("/elsewhere", {}, 3),
    ],
)
async def test_an_upgrade_is_refused_as_any_request_is_and_nothing_is_logged(server, path, headers, code, caplog):
    async with server.client() as client:
        answer = await client.get(path, headers=UPGRADE | headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.headers["export-protocol"] == "2"
    assert answer.headers["x-request-id"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_every_answer_says_the_protocol_whoever_gives_it(server):
    async with server.client(follow_redirects=False) as client:
        asked = [POLLING, "/socket.io/?EIO=3", f"{POLLING}&sid=nobody", "/", "/metrics", "/api/health", "/nothing"]
        asked += ["/page/nothing", "/api/projects/", "/api/projects?page=x", "/api/export/nobody"]
        for path in asked:
            assert (await client.get(path)).headers["export-protocol"] == "2", path
        assert (await client.options("/api/projects")).headers["export-protocol"] == "2"


async def test_a_wrong_method_is_told_all_that_the_path_takes(settings_for, cells):
    async with serving(settings_for(cells, people=True)) as server, server.client() as client:
        assert (await client.put("/api/auth/tokens")).headers["allow"] == "GET, HEAD, POST"
        answer = await client.delete(f"/api/projects/{server.project.id}/export")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert (await client.put("/api/projects")).headers["allow"] == "GET, HEAD"


async def test_a_slash_behind_a_path_of_the_api_is_as_if_it_were_not_there(server):
    async with server.client(follow_redirects=False) as client:
        assert (await client.get("/api/export/formats/")).json() == (await client.get("/api/export/formats")).json()
        assert (await client.get("/api/projects/")).status_code == 200


async def test_no_script_of_another_site_is_answered_as_one(server):
    async with server.client() as client:
        answer = await client.get(f"{POLLING}&j=0")
        assert (answer.status_code, answer.json()["code"]) == (400, 3)
        # What only keeps caches away is no matter.
        assert (await client.get(f"{POLLING}&t=abc&b64=1")).status_code == 200


async def test_who_is_connected_and_connects_again_is_hung_up_as_the_official_server_does(server, caplog):
    connecting = f'40{{"token":"{TOKEN}"}}'
    async with connect(server.url.replace("http", "ws") + SOCKET, proxy=None) as socket:
        assert (await socket.recv()).startswith("0")
        await socket.send(connecting)
        assert (await socket.recv()).startswith("40")
        await socket.send(connecting)
        await asyncio.wait_for(socket.wait_closed(), 30)
        assert socket.close_code == CloseCode.NO_STATUS_RCVD
    async with server.client() as client:
        place = f"{POLLING}&sid={json.loads((await client.get(POLLING)).text[1:])['sid']}"
        await client.post(place, content=connecting)
        assert (await client.get(place)).text.startswith("40")
        assert (await client.post(place, content=connecting)).text == "ok"
        assert (await client.get(place)).text == "6"
        assert (await client.get(place)).status_code == 400
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_over_tls_the_servers_own_page_has_a_socket_and_no_other(settings_for, cells, tmp_path):
    authority = found_authority(tmp_path)
    certificate, key = authority.certify("own")
    tls = Tls(certificate=certificate, key=key)
    trusting = ssl.create_default_context(cafile=str(authority.bundle))
    async with serving(settings_for(cells, tls=tls)) as running:
        place = running.url.replace("https", "wss") + SOCKET
        async with connect(place, ssl=trusting, origin=running.url, proxy=None) as socket:
            assert (await socket.recv()).startswith("0")
            await socket.send(f'40{{"token":"{TOKEN}"}}')
            assert (await socket.recv()).startswith("40")
        for origin in (running.url.replace("127.0.0.1", "localhost"), "https://evil.example"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(place, ssl=trusting, origin=origin, proxy=None)
            assert refused.value.response.status_code == 400
