"""The end of a connection, whoever ends it: told once, with goodbyes as far as there was a greeting."""

import pytest

from exportctl.protocol.errors import (
    MalformedPacketError,
)
from exportctl.protocol.happenings import (
    Closed,
    ClosedBy,
    Disconnected,
    Ignored,
)
from exportctl.protocol.lifecycle import State
from unit.connection_states import ATTACHED, closed, connected, connecting, give, left, opening


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
