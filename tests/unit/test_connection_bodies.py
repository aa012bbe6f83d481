"""Many frames at once, and how many: polling bodies are read and written packet by packet, within the limits."""

import pytest

from exportctl.protocol.connection import Connection, Limits
from exportctl.protocol.errors import (
    LimitExceededError,
    MalformedPacketError,
)
from exportctl.protocol.happenings import (
    Closed,
    Connected,
    EventReceived,
    Ignored,
    Opened,
)
from exportctl.protocol.lifecycle import State
from unit.connection_states import ATTACHED, CONNECT, OPEN, connected, connecting, give


def test_no_more_events_are_kept_before_the_permission_than_the_limit():
    connection = connecting(limits=Limits(early_events=2))
    connection.receive_text('42["n"]')
    connection.receive_text('42["n"]')
    with pytest.raises(LimitExceededError):
        connection.receive_text('42["n"]')


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
