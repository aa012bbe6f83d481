"""Engine.IO packets, payloads and handshakes: read, written, and refused with our own errors only."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.protocol import engineio
from exportctl.protocol.engineio import Handshake, Packet, PacketType
from exportctl.protocol.errors import LocalProtocolError, MalformedPacketError

HANDSHAKE = {
    "sid": "lv_VI97HAXpY6yYWAAAC",
    "upgrades": ["websocket"],
    "pingInterval": 25000,
    "pingTimeout": 20000,
    "maxPayload": 1000000,
}

text_packets = st.builds(Packet, type=st.sampled_from(PacketType), data=st.text())
packets = text_packets | st.builds(Packet, type=st.just(PacketType.MESSAGE), data=st.binary())
frames = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"]), min_size=1) | st.binary()

# The examples of the specification, sections "Packet encoding", "Heartbeat" and "Upgrade".
EXAMPLES = [
    ("4hello", Packet(type=PacketType.MESSAGE, data="hello")),
    ("2", Packet(type=PacketType.PING)),
    ("3", Packet(type=PacketType.PONG)),
    ("2probe", Packet(type=PacketType.PING, data="probe")),
    ("3probe", Packet(type=PacketType.PONG, data="probe")),
    ("5", Packet(type=PacketType.UPGRADE)),
    ("6", Packet(type=PacketType.NOOP)),
    ("1", Packet(type=PacketType.CLOSE)),
    ("0{}", Packet(type=PacketType.OPEN, data="{}")),
    (b"\x01\x02\x03\x04", Packet(type=PacketType.MESSAGE, data=b"\x01\x02\x03\x04")),
    (b"", Packet(type=PacketType.MESSAGE, data=b"")),
]


@pytest.mark.parametrize(("frame", "packet"), EXAMPLES)
def test_the_examples_of_the_specification_are_read_and_written(frame, packet):
    assert engineio.decode(frame) == packet
    assert engineio.encode(packet) == frame


@given(packets)
def test_a_packet_comes_back_from_its_frame(packet):
    assert engineio.decode(engineio.encode(packet)) == packet


@given(st.text() | st.binary())
@example("")
@example("7")
@example("b")
@example("bé")
@example("b===")
@example("\ud800")
@example("٤")  # a digit, but not one of the protocol's
def test_any_frame_is_a_packet_or_malformed(frame):
    try:
        packet = engineio.decode(frame)
    except MalformedPacketError:
        assert isinstance(frame, str)
    else:
        # Only the b form has a second spelling.
        assert engineio.encode(packet) == frame or frame[0] == "b"


def test_bytes_travel_in_messages_only():
    with pytest.raises(LocalProtocolError, match="PING packet cannot carry bytes"):
        engineio.encode(Packet(type=PacketType.PING, data=b"x"))


def test_the_payloads_of_the_specification_are_read():
    assert engineio.decode_payload("4hello\x1e2\x1e4world") == [
        Packet(type=PacketType.MESSAGE, data="hello"),
        Packet(type=PacketType.PING),
        Packet(type=PacketType.MESSAGE, data="world"),
    ]
    assert engineio.decode_payload("4hello\x1ebAQIDBA==") == [
        Packet(type=PacketType.MESSAGE, data="hello"),
        Packet(type=PacketType.MESSAGE, data=b"\x01\x02\x03\x04"),
    ]
    assert engineio.encode_payload(["4hello", b"\x01\x02\x03\x04"]) == "4hello\x1ebAQIDBA=="


def test_an_empty_body_holds_no_packet():
    assert engineio.decode_payload("") == []


@pytest.mark.parametrize("payload", ["\x1e", "2\x1e", "\x1e2", "2\x1e\x1e2", "2\x1e9", "bAQI", "bAQ=I", "b\x1eb="])
def test_a_payload_with_one_malformed_packet_is_malformed(payload):
    with pytest.raises(MalformedPacketError):
        engineio.decode_payload(payload)


@given(
    st.lists(
        packets.filter(lambda packet: isinstance(packet.data, bytes) or "\x1e" not in packet.data),
        max_size=8,
    )
)
def test_packets_come_back_from_their_payload(many):
    assert engineio.decode_payload(engineio.encode_payload([engineio.encode(packet) for packet in many])) == many


def test_a_text_that_would_be_torn_by_the_separator_is_not_sent():
    with pytest.raises(LocalProtocolError, match=r"U\+001E"):
        engineio.encode_payload(["4one\x1etwo"])


@given(st.lists(frames, max_size=40), st.integers(1, 60) | st.none())
def test_bodies_hold_every_frame_in_order_and_fit_unless_one_frame_alone_does_not(many, most):
    bodies = engineio.encode_payloads(many, max_payload=most)
    assert "\x1e".join(bodies) == engineio.encode_payload(many)
    for body in bodies:
        assert most is None or len(body.encode()) <= most or "\x1e" not in body
        assert body.count("\x1e") < 16


@given(st.lists(frames, min_size=2, max_size=20), st.integers(1, 60))
def test_no_two_neighbouring_bodies_would_have_fitted_into_one(many, most):
    bodies = engineio.encode_payloads(many, max_payload=most)
    for first, second in pairwise(bodies):
        is_full = len(f"{first}\x1e{second.partition(chr(0x1E))[0]}".encode()) > most
        assert is_full or first.count("\x1e") == 15


@given(st.binary())
def test_the_size_of_bytes_in_a_payload_is_known_before(blob):
    assert engineio.base64_size(len(blob)) == len(engineio.encode_payload([blob]))


def test_a_handshake_is_read_in_seconds_and_bytes():
    assert engineio.read_handshake(json.dumps(HANDSHAKE)) == Handshake(
        sid="lv_VI97HAXpY6yYWAAAC",
        upgrades=("websocket",),
        ping_interval=25.0,
        ping_timeout=20.0,
        max_payload=1_000_000,
    )


@pytest.mark.parametrize("change", [{"maxPayload": None}, {"future": {"key": 1}}, {"pingInterval": 0.5}])
def test_a_handshake_may_say_less_or_more(change):
    assert engineio.read_handshake(json.dumps(HANDSHAKE | change)).sid == HANDSHAKE["sid"]


def test_an_older_server_need_not_say_how_much_it_takes():
    older = {key: value for key, value in HANDSHAKE.items() if key != "maxPayload"}
    assert engineio.read_handshake(json.dumps(older)).max_payload is None


@pytest.mark.parametrize(
    "change",
    [
        {"sid": None},
        {"sid": ""},
        {"sid": 7},
        {"sid": "a\nb"},
        {"sid": "ä"},
        {"sid": "x" * 257},
        {"upgrades": None},
        {"upgrades": "websocket"},
        {"upgrades": [1]},
        {"upgrades": ["websocket"] * 17},
        {"pingInterval": None},
        {"pingInterval": True},
        {"pingInterval": "25000"},
        {"pingInterval": 0},
        {"pingInterval": -1},
        {"pingInterval": 2**31},
        {"pingTimeout": []},
        {"pingTimeout": 1e300},
        {"maxPayload": 0},
        {"maxPayload": True},
        {"maxPayload": 1.5},
        {"maxPayload": "1000000"},
    ],
)
def test_a_handshake_out_of_bounds_is_malformed(change):
    with pytest.raises(MalformedPacketError, match="handshake"):
        engineio.read_handshake(json.dumps(HANDSHAKE | change))


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
@example("")
@example("[]")
@example("null")
def test_anything_else_is_no_handshake(data):
    with pytest.raises(MalformedPacketError):
        engineio.read_handshake(data)
