"""The official parsers and ours: what one writes, the other reads, packet by packet."""

from itertools import product

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exportctl.protocol import engineio, socketio
from exportctl.protocol.errors import RemoteProtocolError
from exportctl.protocol.socketio import Ack, Connect, ConnectError, Disconnect, Event, PacketType
from protocol_values import blobs, packets, texts

# One process of Node answers for all examples, so the fixture is shared between them on purpose.
compared = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def theirs(packet):
    """Say our packet as the reference implementation holds it."""
    match packet:
        case Event(namespace=namespace, name=name, args=args, ack_id=ack_id):
            fields = {"type": PacketType.EVENT, "nsp": namespace, "data": [name, *args]}
            return fields if ack_id is None else fields | {"id": ack_id}
        case Ack(namespace=namespace, args=args, ack_id=ack_id):
            return {"type": PacketType.ACK, "nsp": namespace, "data": list(args), "id": ack_id}
        case Connect(namespace=namespace, data=data):
            return {"type": PacketType.CONNECT, "nsp": namespace} | ({} if data is None else {"data": data})
        case Disconnect(namespace=namespace):
            return {"type": PacketType.DISCONNECT, "nsp": namespace}
        case ConnectError(namespace=namespace, message=message, data=data):
            fields = {"message": message} | ({} if data is None else {"data": data})
            return {"type": PacketType.CONNECT_ERROR, "nsp": namespace, "data": fields}


def put_together(parts):
    text, *rest = parts
    packet = socketio.decode(text)
    for blob in rest:
        packet = packet.add(blob) or packet
    return packet


@given(packet=packets)
@compared
def test_node_reads_what_we_write(node_parser, packet):
    assert node_parser("decode", socketio.encode(packet)) == theirs(packet)


@given(packet=packets)
@compared
def test_we_read_what_node_writes(node_parser, packet):
    assert put_together(node_parser("encode", theirs(packet))) == packet


@given(packet=packets)
@compared
def test_both_write_the_same_head(node_parser, packet):
    (ours, *our_blobs), (text, *their_blobs) = socketio.encode(packet), node_parser("encode", theirs(packet))
    cut = min((ours.find(bracket) for bracket in "[{" if bracket in ours), default=len(ours))
    assert ours[:cut] == text[:cut]
    assert our_blobs == their_blobs


PIECES = (
    "01234567x",
    ["", "0-", "1-", "2-", "11-", "-"],
    ["", "/", "/admin", "/admin,", "/admin?a=b,", "/,"],
    ["", "0", "7", "12", "007"],
    ["", "[]", "{}", '["a"]', '["a",1]', "[1]", "[null]", '{"sid":"x"}', '"text"', "null", "[", "1.5"],
)
# Where the specification demands what the reference reads without: it drops these packets later.
STRICTER = {"an event or acknowledgement without its payload", "an acknowledgement without an id"}


def read_by_both(node_parser):
    """Every text of the pieces, with what the reference made of it and what we did; refused is None or our error."""
    for text in map("".join, product(*PIECES)):
        try:
            reference = node_parser("decode", [text])
        except ValueError:
            reference = None
        else:
            reference = reference or "awaits attachments"
        try:
            packet = socketio.decode(text)
        except RemoteProtocolError as error:
            packet = error
        yield text, reference, packet


def test_all_that_node_refuses_we_refuse_but_what_we_decided_to_take(node_parser):
    for text, reference, packet in read_by_both(node_parser):
        if reference is None and not isinstance(packet, RemoteProtocolError):
            assert isinstance(packet, Disconnect) or text.endswith("null"), text


def test_all_that_node_takes_we_take_alike_but_what_the_specification_forbids(node_parser):
    for text, reference, packet in read_by_both(node_parser):
        if reference is None:
            continue
        if isinstance(packet, RemoteProtocolError):
            assert str(packet) in STRICTER, text
        elif isinstance(packet, socketio.Partial):
            assert reference == "awaits attachments", text
        else:
            reference["nsp"] = reference["nsp"].partition("?")[0]
            if isinstance(packet, Event):
                reference["data"][0] = str(reference["data"][0])
            elif isinstance(packet, Connect | Disconnect):
                reference.pop("id", None)
            if isinstance(packet, ConnectError):
                assert (reference["type"], reference["nsp"]) == (PacketType.CONNECT_ERROR, packet.namespace), text
            else:
                assert reference == theirs(packet), text


frames = st.lists(
    st.builds(
        engineio.Packet,
        type=st.sampled_from([kind for kind in engineio.PacketType if kind is not engineio.PacketType.MESSAGE]),
        data=texts.filter(lambda text: "\x1e" not in text),
    )
    | st.builds(
        engineio.Packet,
        type=st.just(engineio.PacketType.MESSAGE),
        data=blobs | texts.filter(lambda text: "\x1e" not in text),
    ),
    min_size=1,
    max_size=6,
)


def named(packet):
    fields = {"type": packet.type.name.lower(), "data": packet.data}
    return fields if packet.data or isinstance(packet.data, bytes) else {"type": fields["type"]}


@given(packets=frames)
@compared
@example(packets=[engineio.Packet(type=engineio.PacketType.MESSAGE, data=b"")])
def test_polling_payloads_are_the_same_both_ways(node_parser, packets):
    payload = engineio.encode_payload([engineio.encode(packet) for packet in packets])
    assert node_parser("encodePayload", [named(packet) for packet in packets]) == payload
    assert node_parser("decodePayload", payload) == [named(packet) for packet in packets]


@pytest.mark.parametrize("payload", ["7", "", "2\x1e", "2\x1e9"])
def test_a_malformed_packet_is_one_for_both(node_parser, payload):
    assert node_parser("decodePayload", payload)[-1]["type"] == "error"
    if payload:
        with pytest.raises(RemoteProtocolError):
            engineio.decode_payload(payload)
