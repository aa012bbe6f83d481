"""The connection machine: every packet in every state, what it sends by itself, and that nothing breaks it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exportctl.protocol.connection import Connection
from exportctl.protocol.errors import (
    LimitExceededError,
    LocalProtocolError,
    MalformedPacketError,
    ProtocolError,
    RemoteProtocolError,
    UnexpectedPacketError,
)
from exportctl.protocol.happenings import (
    Closed,
    Connected,
    ConnectRefused,
    Disconnected,
    EventReceived,
    Happening,
    Ignored,
    Opened,
)
from exportctl.protocol.lifecycle import NEXT, State
from unit.connection_states import ATTACHED, CONNECT, MAKERS, OPEN, connected, connecting, give, left

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
