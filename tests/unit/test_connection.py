"""The connection machine: every packet in every state, what it sends by itself, and that nothing breaks it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.protocol.connection import Connection, Limits
from exportctl.protocol.errors import (
    LimitExceededError,
    LocalProtocolError,
    MalformedPacketError,
    ProtocolError,
    RemoteProtocolError,
    UnexpectedPacketError,
)
from exportctl.protocol.happenings import (
    AckReceived,
    Closed,
    ClosedBy,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Happening,
    Ignored,
    Opened,
)
from exportctl.protocol.lifecycle import NEXT, State
from protocol_values import plain_values, texts

OPEN = '0{"sid":"eio","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
CONNECT = '40{"sid":"sio"}'
ATTACHED = '451-["blob",{"_placeholder":true,"num":0}]'


def opening():
    return Connection()


def connecting(**how):
    connection = Connection(**how)
    connection.receive_text(OPEN)
    connection.data_to_send()
    return connection


def connected(**how):
    connection = connecting(**how)
    connection.receive_text(CONNECT)
    return connection


def left():
    connection = connected()
    connection.receive_text("41")
    return connection


def closed():
    connection = connected()
    connection.receive_text("1")
    return connection


MAKERS = {
    State.OPENING: opening,
    State.CONNECTING: connecting,
    State.CONNECTED: connected,
    State.LEFT: left,
    State.CLOSED: closed,
}

MALFORMED, UNEXPECTED, IGNORED = MalformedPacketError, UnexpectedPacketError, Ignored
# What becomes of each frame in OPENING, CONNECTING, CONNECTED and LEFT: the facts it makes, or the error.
MATRIX = {
    OPEN: ([Opened], UNEXPECTED, UNEXPECTED, UNEXPECTED),
    "0": (MALFORMED, UNEXPECTED, UNEXPECTED, UNEXPECTED),
    "1": ([Closed], [Closed], [Closed], [Closed]),
    "2": (UNEXPECTED, [], [], []),
    "2probe": (UNEXPECTED, [], [], []),
    "3": (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    "3probe": (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    "5": (UNEXPECTED, UNEXPECTED, UNEXPECTED, UNEXPECTED),
    "6": (UNEXPECTED, [], [], []),
    "7": (MALFORMED, MALFORMED, MALFORMED, MALFORMED),
    "": (MALFORMED, MALFORMED, MALFORMED, MALFORMED),
    "b===": (MALFORMED, MALFORMED, MALFORMED, MALFORMED),
    "bAQI=": (UNEXPECTED, UNEXPECTED, UNEXPECTED, UNEXPECTED),
    b"": (UNEXPECTED, UNEXPECTED, UNEXPECTED, UNEXPECTED),
    b"bytes": (UNEXPECTED, UNEXPECTED, UNEXPECTED, UNEXPECTED),
    "4": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    "4x": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    CONNECT: (UNEXPECTED, [Connected], UNEXPECTED, [IGNORED]),
    "40": (UNEXPECTED, MALFORMED, MALFORMED, [IGNORED]),
    '40{"sid":""}': (UNEXPECTED, MALFORMED, MALFORMED, [IGNORED]),
    '40/admin,{"sid":"x"}': (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    '44{"message":"no"}': (UNEXPECTED, [ConnectRefused], UNEXPECTED, [IGNORED]),
    '44/admin,{"message":"no"}': (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    "41": (UNEXPECTED, [Disconnected], [Disconnected], [IGNORED]),
    "41/admin,": (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    '42["n"]': (UNEXPECTED, [], [EventReceived], [IGNORED]),
    '427["n"]': (UNEXPECTED, [], [EventReceived], [IGNORED]),
    '42/admin,["n"]': (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    "42[]": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    "42[": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    "42": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    "431[]": (UNEXPECTED, [IGNORED], [IGNORED], [IGNORED]),
    "43[]": (UNEXPECTED, MALFORMED, MALFORMED, MALFORMED),
    ATTACHED: (UNEXPECTED, [], [], []),
}
CELLS = [
    pytest.param(state, frame, outcome, id=f"{state.value}-{frame!r:.30}")
    for frame, row in MATRIX.items()
    for state, outcome in zip(MAKERS, (*row, [IGNORED]), strict=True)
]


def give(connection, frame):
    return connection.receive_text(frame) if isinstance(frame, str) else connection.receive_bytes(frame)


@pytest.mark.parametrize(("state", "frame", "outcome"), CELLS)
def test_every_frame_has_its_outcome_in_every_state(state, frame, outcome):
    connection = MAKERS[state]()
    assert connection.state is state
    if isinstance(outcome, list):
        assert [type(happening) for happening in give(connection, frame)] == outcome
    else:
        with pytest.raises(outcome) as caught:
            give(connection, frame)
        assert type(caught.value) is outcome
        assert connection.state is State.CLOSED


def test_the_life_cycle_names_every_state_and_every_fact():
    assert set(NEXT) == set(State)
    facts = {fact for row in NEXT.values() for fact in row}
    assert facts == set(Happening.__args__) - {Ignored}


def test_the_handshake_is_answered_with_the_request_to_connect():
    connection = Connection()
    assert connection.data_to_send() == []
    (opened,) = connection.receive_text(OPEN)
    assert opened.handshake == connection.handshake
    assert (opened.handshake.sid, opened.handshake.ping_interval) == ("eio", 25.0)
    assert connection.data_to_send() == ["40"]
    assert connection.data_to_send() == []
    assert connection.receive_text(CONNECT) == [Connected(sid="sio")]


def test_auth_goes_with_the_request_to_connect():
    connection = Connection(auth={"token": "ö"})
    connection.receive_text(OPEN)
    assert connection.data_to_send() == ['40{"token":"ö"}']


def test_auth_that_is_no_json_is_found_before_anything_is_sent():
    with pytest.raises(LocalProtocolError):
        Connection(auth={"token": b"bytes"})


def test_a_refusal_is_told_with_its_message_and_data():
    connection = connecting()
    assert connection.receive_text('44{"message":"Authentication failed","data":{"code":401}}') == [
        ConnectRefused(message="Authentication failed", data={"code": 401})
    ]
    assert connection.state is State.LEFT


@pytest.mark.parametrize("maker", [connecting, connected, left])
def test_a_ping_is_answered_with_a_pong_until_the_end(maker):
    connection = maker()
    connection.receive_text("2")
    assert connection.data_to_send() == ["3"]
    connection.receive_text("2probe")
    assert connection.data_to_send() == ["3"]


def test_a_flood_of_pings_has_one_answer():
    connection = connected()
    connection.data_to_send()
    assert [*connection.receive_frames(["2"] * 10_000)] == []
    assert connection.data_to_send() == ["3"]
    connection.receive_text("2")
    assert connection.data_to_send() == ["3"]


def test_an_event_is_told_with_its_arguments():
    connection = connected()
    assert connection.receive_text('42["export:progress",{"progress":6.5},null]') == [
        EventReceived(name="export:progress", args=({"progress": 6.5}, None))
    ]
    assert connection.receive_text('4212["ask",1]') == [EventReceived(name="ask", args=(1,), ack_id=12)]
    assert connection.receive_text("42[7]") == [EventReceived(name="7", args=())]


@given(texts, st.lists(plain_values, max_size=3))
def test_the_short_way_tells_what_the_long_way_tells(name, args):
    frame = "42" + json.dumps([name, *args])
    short = connected().receive_text(frame)
    waiting = connecting()
    assert waiting.receive_text(frame) == []
    assert waiting.receive_text(CONNECT)[1:] == short == [EventReceived(name=name, args=tuple(args))]


def test_events_before_the_permission_are_told_right_after_it_in_order():
    connection = connecting()
    assert connection.receive_text('42["first"]') == []
    assert connection.receive_text(ATTACHED) == []
    assert connection.receive_bytes(b"second") == []
    assert connection.receive_text(CONNECT) == [
        Connected(sid="sio"),
        EventReceived(name="first", args=()),
        EventReceived(name="blob", args=(b"second",)),
    ]


def test_events_before_a_refusal_are_not_told():
    connection = connecting()
    connection.receive_text('42["first"]')
    assert connection.receive_text("44") == [ConnectRefused(message="", data=None)]


def test_no_more_events_are_kept_before_the_permission_than_the_limit():
    connection = connecting(limits=Limits(early_events=2))
    connection.receive_text('42["n"]')
    connection.receive_text('42["n"]')
    with pytest.raises(LimitExceededError):
        connection.receive_text('42["n"]')


def test_a_binary_event_is_told_once_its_attachments_are_there_and_pings_may_come_between():
    connection = connected()
    assert connection.receive_text('452-9["blob",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]') == []
    assert connection.receive_text("2") == []
    assert connection.receive_bytes(b"one") == []
    assert connection.receive_text("6") == []
    assert connection.receive_bytes(b"two") == [EventReceived(name="blob", args=(b"two", b"one"), ack_id=9)]
    assert connection.receive_text('42["next"]') == [EventReceived(name="next", args=())]
    assert connection.data_to_send() == ["3"]


@pytest.mark.parametrize("frame", ['42["n"]', "41", ATTACHED])
def test_a_packet_where_an_attachment_should_come_is_the_peers_error(frame):
    connection = connected()
    connection.receive_text(ATTACHED)
    with pytest.raises(UnexpectedPacketError):
        connection.receive_text(frame)


def test_an_attachment_of_another_namespace_is_ignored_with_its_packet():
    connection = connected()
    assert connection.receive_text('451-/admin,["blob",{"_placeholder":true,"num":0}]') == []
    (ignored,) = connection.receive_bytes(b"x")
    assert isinstance(ignored, Ignored)
    assert connection.receive_text('42["n"]') == [EventReceived(name="n", args=())]


def test_emitting_writes_an_event():
    connection = connected()
    assert connection.emit("join", "p1", {"a": [1, None, "ž"]}) is None
    assert connection.data_to_send() == ['42["join","p1",{"a":[1,null,"ž"]}]']
    connection.emit("blob", {"of": b"bytes"})
    assert connection.data_to_send() == ['451-["blob",{"of":{"_placeholder":true,"num":0}}]', b"bytes"]


def test_an_acknowledgement_carries_the_id_of_its_event_and_is_told_once():
    connection = connected()
    first, second = connection.emit("a", ack=True), connection.emit("b", ack=True)
    assert (first, second) == (1, 2)
    assert connection.data_to_send() == ['421["a"]', '422["b"]']
    assert connection.receive_text('432[{"ok":true}]') == [AckReceived(ack_id=2, args=({"ok": True},))]
    assert connection.receive_text("431[]") == [AckReceived(ack_id=1, args=())]
    (again,) = connection.receive_text("431[]")
    assert isinstance(again, Ignored)


def test_a_binary_acknowledgement_is_told_with_its_bytes():
    connection = connected()
    connection.emit("a", ack=True)
    connection.receive_text('461-1[{"_placeholder":true,"num":0}]')
    assert connection.receive_bytes(b"x") == [AckReceived(ack_id=1, args=(b"x",))]


def test_an_acknowledgement_that_came_too_late_is_ignored():
    connection = connected()
    connection.forget(connection.emit("a", ack=True))
    connection.forget(99)
    (late,) = connection.receive_text("431[]")
    assert late == Ignored(reason="an acknowledgement nobody waits for: 1")


def test_answering_an_event_writes_an_acknowledgement():
    connection = connected()
    connection.ack(12, "ok", b"x")
    assert connection.data_to_send() == ['461-12["ok",{"_placeholder":true,"num":0}]', b"x"]


@pytest.mark.parametrize("state", [state for state in State if state is not State.CONNECTED])
def test_sending_unless_connected_is_our_error_and_sends_nothing(state):
    connection = MAKERS[state]()
    connection.data_to_send()
    with pytest.raises(LocalProtocolError, match=state.value):
        connection.emit("n")
    with pytest.raises(LocalProtocolError, match=state.value):
        connection.ack(1)
    assert connection.data_to_send() == []
    assert connection.state is state


def test_what_cannot_be_sent_leaves_the_connection_as_it_was():
    connection = connected()
    with pytest.raises(LocalProtocolError):
        connection.emit("n", 2**64, ack=True)
    with pytest.raises(LocalProtocolError):
        connection.emit("disconnect")
    assert connection.data_to_send() == []
    assert connection.emit("n", ack=True) == 1


def test_what_the_server_would_not_take_is_our_error():
    connection = connected()
    most = connection.handshake.max_payload
    connection.emit("n", "x" * (most - len('42["n",""]')))
    with pytest.raises(LocalProtocolError, match="the server takes 1000000"):
        connection.emit("n", "x" * (most - len('42["n",""]') + 1))
    with pytest.raises(LocalProtocolError, match="the server takes 1000000"):
        connection.emit("n", "ž" * (most // 2))
    with pytest.raises(LocalProtocolError, match="the server takes 1000000"):
        connection.emit("n", bytes(most * 3 // 4))
    assert len(connection.data_to_send()) == 1


def test_polling_bodies_hold_the_outbox_and_fit():
    connection = Connection()
    assert connection.payloads_to_send() == []
    connection.receive_text(OPEN.replace("1000000", "40"))
    connection.receive_text(CONNECT)
    for number in range(5):
        connection.emit("n", number)
    connection.emit("n", b"x")
    assert connection.payloads_to_send() == [
        '40\x1e42["n",0]\x1e42["n",1]\x1e42["n",2]',
        '42["n",3]\x1e42["n",4]',
        '451-["n",{"_placeholder":true,"num":0}]',
        "beA==",
    ]
    assert connection.data_to_send() == []


def test_a_polling_body_is_told_packet_by_packet():
    connection = Connection()
    body = f'{OPEN}\x1e{CONNECT}\x1e42["n"]\x1e2\x1e{ATTACHED}\x1ebAQI=\x1e6\x1e1\x1e42["n"]'
    assert [type(happening) for happening in connection.receive_payload(body)] == [
        Opened,
        Connected,
        EventReceived,
        EventReceived,
        Closed,
        Ignored,
    ]


def test_an_empty_polling_body_tells_nothing():
    assert list(connected().receive_payload("")) == []


def test_frames_that_came_at_once_tell_what_they_tell_one_by_one():
    frames = [OPEN, "2", CONNECT, '42["a",1]', ATTACHED, b"bytes", '42["c"]', "41", '42["d"]']
    one_by_one, at_once = Connection(), Connection()
    assert [*at_once.receive_frames(frames)] == [fact for frame in frames for fact in give(one_by_one, frame)]
    assert at_once.data_to_send() == one_by_one.data_to_send()
    assert at_once.state is one_by_one.state


def test_what_came_before_a_malformed_frame_is_told_and_nothing_behind_it():
    connection, told = connected(), []
    with pytest.raises(MalformedPacketError):
        told.extend(connection.receive_frames(['42["a"]', "42[}", '42["b"]']))
    assert told == [EventReceived(name="a", args=())]
    assert [*connection.receive_frames(['42["c"]'])] == [Ignored(reason="a frame behind the close")]
    assert connection.state is State.CLOSED
    assert connection.data_to_send()[-1] == "1"


def test_what_came_before_a_malformed_packet_of_a_polling_body_is_told():
    connection = connected()
    told = []
    with pytest.raises(MalformedPacketError):
        told.extend(connection.receive_payload('42["one"]\x1e42["two"]\x1e42[\x1e42["three"]'))
    assert told == [EventReceived(name="one", args=()), EventReceived(name="two", args=())]


@pytest.mark.parametrize("frame", ['42["' + "x" * 100 + '"]', "4" * 101, b"x" * 101, "b" * 101])
def test_a_frame_beyond_the_limit_is_not_read(frame):
    connection = connected(limits=Limits(frame=100))
    assert connection.receive_text('42["' + "x" * 94 + '"]')
    with pytest.raises(LimitExceededError):
        give(connection, frame)
    assert connection.data_to_send() == ["1"]


def test_a_polling_body_beyond_the_limit_is_not_read():
    connection = connected(limits=Limits(payload=20))
    with pytest.raises(LimitExceededError):
        list(connection.receive_payload('42["n"]\x1e42["n"]\x1e42["n"]'))
    assert (connection.state, connection.data_to_send()) == (State.CLOSED, ["1"])
    assert [type(happening) for happening in connection.receive_payload("2\x1e" * 20)] == [Ignored] * 21


def test_more_attachments_than_the_limit_are_not_awaited():
    with pytest.raises(LimitExceededError):
        connected(limits=Limits(attachments=0)).receive_text(ATTACHED)


@pytest.mark.parametrize(
    ("maker", "said"),
    [(opening, []), (connecting, ["1"]), (connected, ["41", "1"]), (left, ["1"]), (closed, [])],
)
def test_disconnecting_says_goodbye_as_far_as_there_was_a_greeting(maker, said):
    connection = maker()
    connection.disconnect()
    assert connection.state is State.CLOSED
    connection.disconnect()
    assert connection.data_to_send() == said
    assert connection.receive_eof() == []


def test_frames_under_way_when_we_disconnect_are_ignored():
    connection = connected()
    connection.receive_text(ATTACHED)
    connection.disconnect()
    for frame in (b"x", '42["n"]', "2", "rubbish"):
        assert [type(happening) for happening in give(connection, frame)] == [Ignored]
    assert connection.data_to_send() == ["41", "1"]


def test_events_under_way_when_we_disconnect_or_the_peer_broke_the_protocol_are_ignored():
    ended, broken = connected(), connected()
    ended.disconnect()
    with pytest.raises(MalformedPacketError):
        broken.receive_text("42[")
    for connection in (ended, broken):
        assert connection.receive_text('42["n"]') == [Ignored(reason="a frame behind the close")]


@pytest.mark.parametrize("maker", [opening, connecting, connected, left])
def test_the_end_of_the_transport_closes_once(maker):
    connection = maker()
    assert connection.receive_eof() == [Closed(by=ClosedBy.TRANSPORT)]
    assert connection.receive_eof() == []
    assert connection.data_to_send() == []


def test_a_close_packet_says_that_it_was_the_server():
    assert connected().receive_text("1") == [Closed(by=ClosedBy.SERVER)]


def test_being_put_out_is_told_with_what_the_server_said():
    assert connected().receive_text('41{"message":"bye"}') == [Disconnected(data={"message": "bye"})]


pieces = st.sampled_from([frame for frame in MATRIX if isinstance(frame, str)])
text_frames = (
    pieces
    | st.text()
    | st.builds("{}{}".format, pieces, st.text())
    | st.builds(lambda frame, at: frame[:at], pieces, st.integers(0, 40))
    | st.builds("4{}{}".format, st.integers(0, 6), st.recursive(st.none(), st.lists).map(json.dumps))
)


@given(
    st.sampled_from(list(MAKERS)),
    st.lists(text_frames | st.binary(max_size=9) | st.lists(text_frames, max_size=4), max_size=12),
)
@example(State.CONNECTED, ['42["\ud800"]'])
@example(State.CONNECTING, [ATTACHED, "2", b"x", CONNECT, '42["n"]', "1", "2"])
def test_whatever_a_server_sends_breaks_the_connection_at_most_once_and_nothing_else(state, frames):
    connection = MAKERS[state]()
    errors = []
    for frame in frames:
        try:
            if isinstance(frame, list):
                happenings = list(connection.receive_payload("\x1e".join(frame)))
            else:
                happenings = give(connection, frame)
        except RemoteProtocolError as error:
            errors.append(error)
            assert connection.state is State.CLOSED
        else:
            assert all(isinstance(happening, Happening) for happening in happenings)
    assert len(errors) <= 1
    sent = connection.data_to_send()
    assert set(sent) <= {"3", "1", "40"}
    assert sent.count("1") <= 1
    if errors and connection.handshake:
        assert sent[-1] == "1"
    connection.disconnect()
    assert connection.receive_eof() == []


def test_every_error_is_a_protocol_error_and_no_more_than_one_kind():
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert issubclass(LocalProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    for kind in (MalformedPacketError, UnexpectedPacketError, LimitExceededError):
        assert issubclass(kind, RemoteProtocolError)
