"""Socket.IO packets: read, written, put together from attachments, and refused with our own errors only."""

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.protocol import jsontext, socketio
from exportctl.protocol.errors import (
    LimitExceededError,
    LocalProtocolError,
    MalformedPacketError,
    RemoteProtocolError,
)
from exportctl.protocol.socketio import Ack, Connect, ConnectError, Disconnect, Event, Partial
from protocol_values import ack_ids, attachments, blobs, names, namespaces, plain_values, values

objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), plain_values, max_size=4)
events = st.builds(
    Event,
    namespace=namespaces,
    name=names,
    args=st.lists(values, max_size=3).map(tuple),
    ack_id=st.none() | ack_ids,
)
acks = st.builds(Ack, namespace=namespaces, ack_id=ack_ids, args=st.lists(values, max_size=3).map(tuple))
others = (
    st.builds(Connect, namespace=namespaces, data=st.none() | objects)
    | st.builds(Disconnect, namespace=namespaces)
    | st.builds(ConnectError, namespace=namespaces, message=names, data=plain_values)
)


def put_together(parts, **limits):
    """Read a packet from its text and the frames behind it."""
    text, *blobs = parts
    packet = socketio.decode(text, **limits)
    for blob in blobs:
        assert isinstance(packet, Partial), "bytes behind a complete packet"
        packet = packet.add(blob) or packet
    return packet


# The examples of the specification, section "Packet encoding", "Examples".
EXAMPLES = [
    (["0"], Connect()),
    (['0{"token":"123"}'], Connect(data={"token": "123"})),
    (
        ['0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}'],
        Connect(namespace="/admin", data={"sid": "oSO0OpakMV_3jnilAAAA"}),
    ),
    (['4{"message":"Not authorized"}'], ConnectError(message="Not authorized")),
    (['2["foo"]'], Event(name="foo")),
    (['2/admin,["bar"]'], Event(namespace="/admin", name="bar")),
    (
        ['51-["baz",{"_placeholder":true,"num":0}]', b"\x01\x02\x03\x04"],
        Event(name="baz", args=(b"\x01\x02\x03\x04",)),
    ),
    (
        ['52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"\x01\x02", b"\x03\x04"],
        Event(namespace="/admin", name="baz", args=(b"\x01\x02", b"\x03\x04")),
    ),
    (['212["foo"]'], Event(name="foo", ack_id=12)),
    (['3/admin,13["bar"]'], Ack(namespace="/admin", ack_id=13, args=("bar",))),
    (["312[]"], Ack(ack_id=12)),
    (
        ['61-15["bar",{"_placeholder":true,"num":0}]', b"\x01\x02\x03\x04"],
        Ack(ack_id=15, args=("bar", b"\x01\x02\x03\x04")),
    ),
    (["1"], Disconnect()),
    (["1/admin,"], Disconnect(namespace="/admin")),
]


@pytest.mark.parametrize(("parts", "packet"), EXAMPLES)
def test_the_examples_of_the_specification_are_read_and_written(parts, packet):
    assert put_together(parts) == packet
    assert socketio.encode(packet) == parts


@given(events.filter(lambda event: len(attachments(event.args)) <= socketio.MAX_ATTACHMENTS))
def test_an_event_comes_back_bytes_included(event):
    assert put_together(socketio.encode(event)) == event


@given(acks.filter(lambda ack: len(attachments(ack.args)) <= socketio.MAX_ATTACHMENTS))
def test_an_acknowledgement_comes_back_bytes_included(ack):
    assert put_together(socketio.encode(ack)) == ack


@given(others)
def test_every_other_packet_comes_back(packet):
    assert put_together(socketio.encode(packet)) == packet


@given(names, st.lists(plain_values, max_size=3))
def test_the_short_way_reads_an_event_as_the_long_way_does(name, args):
    (text,) = socketio.encode(Event(name=name, args=tuple(args)))
    long = socketio.decode(text)
    assert socketio.read_event(text[1:]) == (long.name, long.args)


@given(names, st.binary() | st.builds(bytearray, blobs) | st.builds(memoryview, blobs))
def test_every_kind_of_bytes_is_an_attachment(name, blob):
    assert socketio.encode(Event(name=name, args=(blob,)))[1:] == [bytes(blob)]


@given(
    st.text()
    | st.from_regex(r"\A[0-6]([0-9]{1,3}-)?(/[a-z?]*,?)?[0-9]{0,18}(\[.*\]|\{.*\}|\".*\")?\Z")
    | st.builds("{}{}".format, st.sampled_from("0123456"), plain_values.map(json.dumps))
)
@example("")
@example("5-[]")
@example("59999999999-[]")
@example("2" + "9" * 5000 + '["a"]')
@example("5" + "9" * 5000 + '-["a"]')
@example("2٣[]")
@example('2["\ud800"]')
@example('2/\ud800,["a"]')
def test_any_text_is_a_packet_or_the_peers_error(text):
    try:
        packet = socketio.decode(text)
    except RemoteProtocolError:
        return
    assert isinstance(packet, Connect | Disconnect | Event | Ack | ConnectError | Partial)


@given(plain_values | st.just({"_placeholder": True, "num": 0}), st.lists(blobs, min_size=1, max_size=4))
@example({"_placeholder": True, "num": 1}, [b"x"])
@example({"_placeholder": True, "num": -1}, [b"x"])
@example({"_placeholder": True, "num": True}, [b"x"])
@example({"_placeholder": True, "num": 0.0}, [b"x"])
@example({"_placeholder": True}, [b"x"])
def test_any_attachments_make_a_packet_or_are_the_peers_error(value, many):
    try:
        packet = put_together([f"5{len(many)}-{json.dumps(['name', value])}", *many])
    except RemoteProtocolError:
        return
    assert isinstance(packet, Event)


@pytest.mark.parametrize("number", [2, -1, True, 0.0, "0", None])
def test_a_placeholder_without_its_attachment_is_refused(number):
    with pytest.raises(MalformedPacketError, match="placeholder"):
        put_together([f"52-{json.dumps(['name', {'_placeholder': True, 'num': number}])}", b"x", b"y"])


def test_only_a_true_placeholder_is_one():
    truthy = [{"_placeholder": 1, "num": 0}, {"_placeholder": "true", "num": 0}, {"num": 0}]
    packet = put_together([f"51-{json.dumps(['name', *truthy])}", b"x"])
    assert packet == Event(name="name", args=tuple(truthy))


def test_a_placeholder_is_found_at_any_depth_and_as_often_as_it_stands_there():
    hole = {"_placeholder": True, "num": 0}
    deep = hole
    for _ in range(60):
        deep = [{"inner": deep}]
    packet = put_together([f"51-{json.dumps(['name', deep, hole])}", b"x"])
    value = packet.args[0]
    for _ in range(60):
        value = value[0]["inner"]
    assert (value, packet.args[1]) == (b"x", b"x")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("7", MalformedPacketError),
        ("x", MalformedPacketError),
        ("2", MalformedPacketError),
        ("2[]", MalformedPacketError),
        ("2{}", MalformedPacketError),
        ('2"foo"', MalformedPacketError),
        ("2[null]", MalformedPacketError),
        ("2[true]", MalformedPacketError),
        ("2[1.5]", MalformedPacketError),
        ('2[["foo"]]', MalformedPacketError),
        ('2["foo"', MalformedPacketError),
        ('2["foo"]]', MalformedPacketError),
        ('2["foo"]\x00', MalformedPacketError),
        ('2["foo",1e999]', MalformedPacketError),
        ('2["foo","\\ud8"]', MalformedPacketError),
        ('21-["foo"]', MalformedPacketError),
        ('2/admin["foo"]', MalformedPacketError),
        ("3[]", MalformedPacketError),
        ("31{}", MalformedPacketError),
        ("31", MalformedPacketError),
        ('5["foo"]', MalformedPacketError),
        ('50-["foo"]', MalformedPacketError),
        ("51-[]", MalformedPacketError),
        ("51-", MalformedPacketError),
        ("61-[]", MalformedPacketError),
        ("0[]", MalformedPacketError),
        ('0"sid"', MalformedPacketError),
        ("4[]", MalformedPacketError),
        ("1{", MalformedPacketError),
        ('2٣["foo"]', MalformedPacketError),
        ('5٣-["foo"]', MalformedPacketError),
        ('511-["foo"]', LimitExceededError),
        (f'2{2**53}["foo"]', LimitExceededError),
        ('2["foo",' + "[" * 200 + "]" * 200 + "]", LimitExceededError),
        ('2["foo",' + "[" * 2000 + "]" * 2000 + "]", MalformedPacketError),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused_by_name(text, error):
    with pytest.raises(error) as caught:
        socketio.decode(text)
    assert type(caught.value) is error
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ('2[7,"x"]', Event(name="7", args=("x",))),
        ('2["connect"]', Event(name="connect")),
        ('2[""]', Event(name="")),
        ('2/admin?token=abc,["bar"]', Event(namespace="/admin", name="bar")),
        ("0/admin?token=abc", Connect(namespace="/admin")),
        ("1/admin", Disconnect(namespace="/admin")),
        ('1{"message":"out"}', Disconnect(data={"message": "out"})),
        ("4", ConnectError()),
        ("4{}", ConnectError()),
        ('4"no"', ConnectError(message="no")),
        ('4{"message":7,"data":{"code":1}}', ConnectError(data={"code": 1})),
        ('2["n",123456789012345678901234567890]', Event(name="n", args=(1.2345678901234568e29,))),
        (f'2{2**53 - 1}["n"]', Event(name="n", ack_id=2**53 - 1)),
        ('2007["n"]', Event(name="n", ack_id=7)),
    ],
)
def test_where_the_specification_is_silent_the_readers_choice_stands(text, packet):
    assert socketio.decode(text) == packet


def test_more_attachments_may_be_allowed_and_fewer():
    holes = [{"_placeholder": True, "num": number} for number in range(12)]
    parts = [f"512-{json.dumps(['name', *holes])}", *[b"x"] * 12]
    assert put_together(parts, max_attachments=12) == Event(name="name", args=(b"x",) * 12)
    with pytest.raises(LimitExceededError):
        put_together(parts, max_attachments=11)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_was_received_can_be_written_again(opening, closing):
    depth = jsontext.MAX_DEPTH - 1
    value = jsontext.read(opening * depth + "[]" + closing * depth)
    line = {"event": "x", "data": [{"args": value}]}
    assert orjson.loads(orjson.dumps(line)) == line


def test_the_bound_on_depth_is_exact_and_breadth_is_free():
    most = jsontext.MAX_DEPTH
    jsontext.read("[" * most + "7" + "]" * most)
    jsontext.read("[" + ",".join(["[[]]"] * 1000) + "]")
    with pytest.raises(LimitExceededError):
        jsontext.read('[[],{"a":' * ((most + 2) // 2) + "[]" + "}]" * ((most + 2) // 2))
    with pytest.raises(LimitExceededError):
        jsontext.read("[" * (most + 1) + "]" * (most + 1))


def test_the_error_for_bad_json_does_not_hold_the_text():
    with pytest.raises(MalformedPacketError) as caught:
        jsontext.read('{"token":"hush-hush",}')
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__, "a traceback would print the parser's error, which holds the text"


def cycle():
    endless = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, "\ud800", {"\ud800": 1}, {1: 2}, {b"k": 1}, ..., {1, 2}, cycle(), 1 + 2j],
    ids=repr,
)
def test_what_json_cannot_say_is_our_own_error(value):
    with pytest.raises(LocalProtocolError):
        socketio.encode(Event(name="name", args=(value,)))


@pytest.mark.parametrize(
    "packet",
    [
        Event(name="connect"),
        Event(name="disconnecting"),
        Event(namespace="admin", name="foo"),
        Event(namespace="/a,b", name="foo"),
        Event(namespace="", name="foo"),
        Event(namespace="/\ud800", name="foo"),
        Event(name="\ud800"),
        Event(name="foo", ack_id=-1),
        Ack(ack_id=2**53),
        Connect(data={"token": b"bytes"}),
        ConnectError(message="no", data=b"bytes"),
    ],
    ids=repr,
)
def test_what_the_protocol_cannot_say_is_our_own_error(packet):
    with pytest.raises(LocalProtocolError):
        socketio.encode(packet)


def test_numbers_that_are_none_are_sent_as_null_like_any_javascript_client_does():
    assert socketio.encode(Event(name="n", args=(float("nan"), float("inf")))) == ['2["n",null,null]']
