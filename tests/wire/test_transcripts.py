"""Recorded traffic of a production server: every frame of it is read, and tells a client what happened."""

import json
from pathlib import Path

import pytest

from exportctl.protocol import engineio, socketio
from exportctl.protocol.connection import Connection
from exportctl.protocol.happenings import Connected, ConnectRefused, EventReceived, Ignored, Opened
from exportctl.protocol.lifecycle import State

RECORDED = Path(__file__).parents[2].parent / "shared" / "wire" / "protocol1"
SCENARIOS = sorted(path.stem for path in RECORDED.glob("*.ndjson"))

pytestmark = pytest.mark.skipif(not SCENARIOS, reason="no recorded transcripts beside the checkout")


def lines(scenario):
    with (RECORDED / f"{scenario}.ndjson").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def is_polling(line):
    return "/socket.io/" in line.get("path", "") and "transport=polling" in line["path"] and "text" in line


def frames(scenario):
    """Every packet of a scenario, of both transports and both directions, as it stood on the wire."""
    for line in lines(scenario):
        if line["dir"] in {"ws-recv", "ws-send"}:
            yield line["frame"]
        elif is_polling(line) and line["text"] != "ok" and line.get("status", 200) == 200:
            yield from engineio.split_payload(line["text"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_recorded_frame_is_read_and_written_alike(scenario):
    count = 0
    for frame in frames(scenario):
        count += 1
        if frame == "42{not json":
            continue  # sent on purpose, to see what the server does
        packet = engineio.decode(frame)
        assert engineio.encode(packet) == frame
        if packet.type is engineio.PacketType.OPEN:
            assert engineio.read_handshake(packet.data).ping_interval == 25
        elif packet.type is engineio.PacketType.MESSAGE:
            (text,) = socketio.encode(socketio.decode(packet.data))
            assert socketio.decode(text) == socketio.decode(packet.data)
    assert count > 10


def sockets(scenario):
    """What the server sent on each WebSocket of a scenario that began with a handshake."""
    received = {}
    for line in lines(scenario):
        if line["dir"] == "ws-recv":
            received.setdefault(line.get("socket"), []).append(line["frame"])
    return [sent for sent in received.values() if sent[0].startswith("0")]


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "polling_transport"])
def test_every_recorded_socket_runs_through_the_machine(scenario):
    recorded = sockets(scenario)
    assert recorded
    for sent in recorded:
        connection = Connection()
        told, answered = [], []
        for frame in sent:
            told += connection.receive_text(frame)
            answered += connection.data_to_send()
        assert isinstance(told[0], Opened)
        if len(told) == 1:
            assert scenario == "auth"  # the one socket that never asked to connect
            continue
        assert isinstance(told[1], Connected | ConnectRefused)
        assert connection.state is (State.CONNECTED if isinstance(told[1], Connected) else State.LEFT)
        assert all(isinstance(happening, EventReceived) for happening in told[2:])
        assert len(told) == len(sent) - sent.count("2")
        assert answered == ["40"] + ["3"] * sent.count("2")


@pytest.mark.skipif("polling_transport" not in SCENARIOS, reason="no recorded polling session")
def test_every_recorded_polling_session_runs_through_the_machine():
    connections, told, events = {}, {}, 0
    for line in lines("polling_transport"):
        if not (is_polling(line) and line["dir"] == "http-response" and line["status"] == 200) or line["text"] == "ok":
            continue
        sid = line["path"].partition("sid=")[2] or engineio.read_handshake(line["text"][1:]).sid
        connection = connections.setdefault(sid, Connection())
        told.setdefault(sid, []).extend(connection.receive_payload(line["text"]))
        events += line["text"].count('42["')
    assert len(connections) == 4
    for happenings in told.values():
        assert isinstance(happenings[0], Opened)
        assert isinstance(happenings[1], Connected | ConnectRefused)
        assert not any(isinstance(happening, Ignored) for happening in happenings)
    assert sum(isinstance(happening, EventReceived) for many in told.values() for happening in many) == events > 40
