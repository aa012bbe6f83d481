"""Events and acknowledgements: told once with their arguments and bytes, written as the server takes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.protocol.errors import (
    LocalProtocolError,
    UnexpectedPacketError,
)
from exportctl.protocol.happenings import (
    AckReceived,
    Connected,
    ConnectRefused,
    EventReceived,
    Ignored,
)
from exportctl.protocol.lifecycle import State
from protocol_values import plain_values, texts
from unit.connection_states import ATTACHED, CONNECT, MAKERS, connected, connecting


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
