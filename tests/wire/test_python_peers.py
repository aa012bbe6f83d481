"""python-socketio and python-engineio against ours: what one writes, the other reads, packet by packet."""

import json

from engineio.packet import Packet as TheirEnginePacket
from engineio.payload import Payload as TheirPayload
from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import Packet as TheirPacket

from exportctl.protocol import engineio, socketio
from exportctl.protocol.engineio import PacketType as EngineType
from exportctl.protocol.socketio import Ack, Connect, ConnectError, Disconnect, Event, PacketType
from protocol_values import blobs, packets, texts


def theirs(packet):
    """Say our packet as python-socketio holds it."""
    match packet:
        case Event(namespace=namespace, name=name, args=args, ack_id=ack_id):
            return TheirPacket(PacketType.EVENT.value, data=[name, *args], namespace=namespace, id=ack_id)
        case Ack(namespace=namespace, args=args, ack_id=ack_id):
            return TheirPacket(PacketType.ACK.value, data=list(args), namespace=namespace, id=ack_id)
        case Connect(namespace=namespace, data=data):
            return TheirPacket(PacketType.CONNECT.value, data=data, namespace=namespace)
        case Disconnect(namespace=namespace):
            return TheirPacket(PacketType.DISCONNECT.value, namespace=namespace)
        case ConnectError(namespace=namespace, message=message, data=data):
            fields = {"message": message} | ({} if data is None else {"data": data})
            return TheirPacket(PacketType.CONNECT_ERROR.value, data=fields, namespace=namespace)


def parts(encoded):
    return encoded if isinstance(encoded, list) else [encoded]


def fields(packet):
    return packet.packet_type, packet.namespace or "/", packet.id, packet.data


@given(packets)
def test_python_socketio_reads_what_we_write(packet):
    text, *rest = socketio.encode(packet)
    read = TheirPacket(encoded_packet=text)
    assert read.attachment_count == len(rest)
    assert [read.add_attachment(blob) for blob in rest] == [False] * (len(rest) - 1) + [True] * bool(rest)
    assert fields(read) == fields(theirs(packet))


@given(packets)
def test_we_read_what_python_socketio_writes(packet):
    text, *rest = parts(theirs(packet).encode())
    read = socketio.decode(text)
    for blob in rest:
        assert isinstance(read, socketio.Partial)
        read = read.add(blob) or read
    assert read == packet


@given(packets)
def test_both_write_the_same_text_but_for_the_spelling_of_json(packet):
    (ours, *our_blobs), (text, *their_blobs) = socketio.encode(packet), parts(theirs(packet).encode())
    assert our_blobs == their_blobs
    cut = min((ours.find(bracket) for bracket in "[{" if bracket in ours), default=len(ours))
    assert ours[:cut] == text[:cut]
    assert json.loads(ours[cut:] or "null") == json.loads(text[cut:] or "null")


engine_packets = st.builds(
    engineio.Packet,
    type=st.sampled_from(EngineType),
    # python-engineio reads every payload as JSON if it can, so a letter stands before it.
    data=texts.filter(lambda text: "\x1e" not in text).map("x{}".format),
) | st.builds(engineio.Packet, type=st.just(EngineType.MESSAGE), data=blobs)


@given(engine_packets)
def test_engine_packets_are_the_same_both_ways(packet):
    frame = engineio.encode(packet)
    assert TheirEnginePacket(packet.type.value, data=packet.data).encode() == frame
    read = TheirEnginePacket(encoded_packet=frame)
    assert (read.packet_type, read.data, read.binary) == (packet.type, packet.data, isinstance(packet.data, bytes))
    assert engineio.decode(frame) == packet


@given(st.lists(engine_packets, max_size=TheirPayload.max_decode_packets))
def test_polling_payloads_are_the_same_both_ways(packets):
    payload = engineio.encode_payload([engineio.encode(packet) for packet in packets])
    assert (
        TheirPayload([TheirEnginePacket(packet.type.value, data=packet.data) for packet in packets]).encode() == payload
    )
    read = TheirPayload(encoded_payload=payload).packets
    assert [(packet.packet_type, packet.data) for packet in read] == [(packet.type, packet.data) for packet in packets]
    assert engineio.decode_payload(payload) == packets


def test_the_handshake_of_python_engineio_is_read():
    packet = TheirEnginePacket(
        EngineType.OPEN.value,
        {"sid": "x", "upgrades": [], "pingTimeout": 20000, "pingInterval": 25000, "maxPayload": 1000000},
    )
    read = engineio.decode(packet.encode())
    assert engineio.read_handshake(read.data).max_payload == 1_000_000
