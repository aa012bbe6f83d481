"""What production's sockets were recorded to say, said by ours: key by key, type by type, and value by value where a
value does not depend on the export.
"""

import asyncio
import json
import re
import shutil

import pytest
from websockets.asyncio.client import connect

from exportctl.protocol.engineio import split_payload
from server.conftest import TOKEN, serving, write_images
from server.socket_client import connected
from wire.server1 import IS_RECORDED, RECORDED, transcript

pytestmark = pytest.mark.skipif(not IS_RECORDED, reason="no recorded transcripts beside the checkout")

NOBODY = "00000000-0000-4000-8000-000000000000"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
STAGES = {"images", "visualizations", "annotations", "metrics", "compression"}
FREE = {"message", "error", "currentItem"}
"""Texts for people."""


def frames():
    """Every frame that production sent, of both transports."""
    for path in sorted(RECORDED.glob("*.ndjson")):
        for line in transcript(path.stem):
            if line["dir"] == "ws-recv":
                yield line["frame"]
            elif line["dir"] == "http-response" and "transport=polling" in line.get("path", "") and line.get("text"):
                yield from split_payload(line["text"])


def recorded():
    """All instances of each recorded event; one without a job's id is one of its own."""
    found = {}
    for frame in frames():
        if frame.startswith("42"):
            name, data = json.loads(frame[2:])
            found.setdefault((name, "jobId" in data), []).append(data)
    return found


def form(key, value):
    """What a client may rely on of a value: all of it, but for ids, moments, numbers and texts for people."""
    if isinstance(value, dict):
        return {inner: form(inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [form(key, one) for one in value[:1]]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        assert key != "progress" or 0 <= value <= 100
        return "a number"
    for kind, known in (("an id", ID.match), ("a moment", MOMENT.match), ("a stage", STAGES.__contains__)):
        if known(value):
            return kind
    return "a text" if key in FREE else value


def check(name, known, told):
    """Each of ours has every key that each of theirs has, in a form that theirs has; and no key of theirs otherwise."""
    always = set.intersection(*(set(data) for data in known))
    forms = {}
    for data in known:
        for key, value in data.items():
            forms.setdefault(key, []).append(form(key, value))
    for data in told:
        assert always <= set(data), name
        for key in forms.keys() & data.keys():
            ours = form(key, data[key])
            if isinstance(ours, dict):
                assert any(one.items() <= ours.items() for one in forms[key]), (name, key, ours)
            elif ours is not None or key in always:
                assert ours in forms[key] or (isinstance(ours, list) and [] in forms[key]), (name, key, ours)


async def test_a_socket_that_subscribes_to_nothing_is_told_every_recorded_event_as_recorded(settings_for, tmp_path):
    many, gone = write_images(tmp_path / "many", 100), write_images(tmp_path / "gone", 2)
    settings = settings_for(many, gone, workers=1, jobs_at_once=1)
    async with (
        serving(settings) as server,
        server.client() as client,
        connected(server.url, TOKEN, auth=False) as socket,
    ):
        await socket.send("join-project", server.project.id)
        await socket.send_raw('42["ping"]')
        await socket.send("export:cancel", {"jobId": NOBODY, "projectId": NOBODY})
        done, ended = await server.start(client), await server.start(client)
        answer = await client.post(f"/api/projects/{settings.projects[1].id}/export", json={"options": {}})
        failed = answer.json()["jobId"]
        shutil.rmtree(gone)  # it waits for the others
        await socket.wait(lambda s: s.completed(done) and s.of(ended))
        await socket.send("operation:cancel", {"operationId": ended, "operationType": "export"})
        await socket.wait(lambda s: s.order.count("export:cancelled") == 2)
        await socket.wait(lambda s: any(name == "export:failed" for name, _ in s.of(failed)))
    for (name, is_of_job), known in recorded().items():
        told = [data for event, data in socket.events if event == name and ("jobId" in data) == is_of_job]
        assert told, name
        check(name, known, told)


def handshake(frame):
    return json.loads(frame[1:]) | {"sid": "any"}


async def test_handshakes_and_refusals_are_the_recorded_ones(server):
    seen = list(frames())
    opened = [handshake(frame) for frame in seen if frame.startswith("0")]
    async with server.client(token=None) as client:
        place = "/socket.io/?EIO=4&transport=polling"
        polled = await client.get(place)
        assert handshake(polled.text) in opened
        place += f"&sid={json.loads(polled.text[1:])['sid']}"
        assert (await client.post(place, content="40")).text == "ok"
        refusals = [(await client.get(place)).text]
        place = "/socket.io/?EIO=4&transport=polling"
        place += f"&sid={json.loads((await client.get(place)).text[1:])['sid']}"
        await client.post(place, content='40{"token":"rubbish"}')
        refusals.append((await client.get(place)).text)
        assert set(refusals) == {frame for frame in seen if frame.startswith("44")}
    async with connect(
        server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", proxy=None
    ) as socket:
        assert handshake(await socket.recv()) in opened
        await socket.send(f'40{{"token":"{TOKEN}"}}')
        assert json.loads((await socket.recv())[2:]).keys() == {"sid"}


async def test_a_socket_that_the_server_closes_is_closed_as_recorded(settings_for, cells):
    """By the end of its session, or for a malformed frame: with no `41`, and no number in the close frame."""
    lines = [line for path in sorted(RECORDED.glob("*.ndjson")) for line in transcript(path.stem)]
    closed = [line for line in lines if line["dir"] == "ws-closed" and line["by"] == "server"]
    numbers = {line["code"] for line in closed}
    assert numbers
    async with serving(settings_for(cells, handshake=0.5)) as server:
        for frames in (["40", "42{not json"], []):
            place = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
            async with connect(place, proxy=None) as socket:
                for frame in frames:
                    await socket.send(frame)
                async with asyncio.timeout(20):
                    told = [frame async for frame in socket]
                assert "41" not in told
                assert {socket.close_code} == numbers
