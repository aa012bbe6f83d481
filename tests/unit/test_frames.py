"""Frames read a chunk at a time: whatever is sent, however it is cut, the messages are those that wsproto alone reads.

wsproto is the independent implementation: one frame after the other, byte for byte, is how it is asked.
"""

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from exportctl.client.frames import LIMIT, Frames

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SMALL_LIMIT = 2**17


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=False, form=None):
    """One frame; `form` is the number of bytes of its length, the shortest by default."""
    size = len(payload)
    form = form or (1 if size < 126 else 2 if size < 2**16 else 8)
    lengths = {
        1: lambda: bytes([size]),
        2: lambda: struct.pack("!BH", 126, size),
        8: lambda: struct.pack("!BQ", 127, size),
    }
    length = lengths[form]()
    length = bytes([length[0] | 0x80 * mask]) + length[1:]
    return bytes([0x80 * fin | rsv << 4 | opcode]) + length + b"\0\0\0\0" * mask + payload


def text(words, **form):
    return frame(TEXT, words.encode(), **form)


def new(limit=LIMIT):
    return Frames(Connection(ConnectionType.CLIENT), limit=limit)


def read_here(chunks):
    """Return the messages, the pings in their order, and the code of the end."""
    frames, messages, pings = new(), [], []
    for chunk in chunks:
        messages += frames.receive(chunk)
        if (ping := frames.take_ping()) is not None:
            pings.append(bytes(ping.payload))
    return messages, pings, None if frames.end is None else int(frames.end.code)


def read_by_wsproto(data):
    connection, messages, pings, parts = Connection(ConnectionType.CLIENT), [], [], []
    connection.receive_data(data)
    for event in connection.events():
        match event:
            case TextMessage() | BytesMessage():
                parts.append(event.data)
                if event.message_finished:
                    messages.append(parts[0][:0].join(parts))
                    parts = []
            case Ping():
                pings.append(bytes(event.payload))
            case CloseConnection():
                return messages, pings, int(event.code)
    return messages, pings, None


def cut(data, places):
    edges = [0, *sorted(places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if begin < end]


def close_payload(code):
    return struct.pack("!H", code) + b"bye"


# Sizes around every border of the length's three forms.
PAYLOADS = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.sampled_from([0, 1, 124, 125, 126, 127, 128, 65535, 65536, 65537]).map(lambda size: b"a" * size),
    st.text(alphabet="aé€😀", min_size=30, max_size=300).map(str.encode),
)
GOOD = st.one_of(
    PAYLOADS.map(lambda payload: frame(TEXT, payload)),
    PAYLOADS.map(lambda payload: frame(BINARY, payload)),
    st.binary(max_size=125).map(lambda payload: frame(PING, payload)),
    st.binary(max_size=125).map(lambda payload: frame(PONG, payload)),
)


@st.composite
def fragmented(draw):
    """A message in fragments, cut anywhere, characters too, with control frames in between."""
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    payload = draw(PAYLOADS)
    places = draw(st.lists(st.integers(0, len(payload)), min_size=1, max_size=4))
    edges = [0, *sorted(places), len(payload)]
    pieces = [payload[begin:end] for begin, end in pairwise(edges)]
    out = b""
    for index, piece in enumerate(pieces):
        out += frame(opcode if index == 0 else CONTINUATION, piece, fin=index == len(pieces) - 1)
        out += draw(st.sampled_from([b"", frame(PING, b"p"), frame(PONG, b"")])) if index < len(pieces) - 1 else b""
    return out


BAD = st.one_of(
    st.sampled_from(
        [
            text("masked", mask=True),
            text("long", form=2),
            text("longer", form=8),
            frame(BINARY, b"a" * 200, form=8),
            frame(TEXT, b"\xff\xfe"),
            frame(TEXT, "€".encode()[:2]),
            frame(TEXT, "\ud800".encode("utf-8", "surrogatepass")),
            frame(CONTINUATION, b"of nothing"),
            frame(PING, fin=False),
            frame(PING, b"a" * 126),
            frame(CLOSE, b"1"),
            frame(CLOSE, close_payload(999)),
            frame(CLOSE, close_payload(1006)),
            frame(CLOSE, struct.pack("!H", 1000) + b"\xff"),
        ]
    ),
    st.builds(lambda opcode: frame(opcode, b"x"), st.sampled_from([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])),
    st.builds(lambda rsv: frame(TEXT, b"x", rsv=rsv), st.integers(1, 7)),
)
ENDS = st.one_of(st.just(b""), BAD, st.sampled_from([frame(CLOSE), frame(CLOSE, close_payload(1001))]))
STREAMS = st.builds(
    lambda frames, end, behind: b"".join(frames) + end + b"".join(behind),
    st.lists(st.one_of(GOOD, fragmented()), max_size=8),
    ENDS,
    st.lists(GOOD, max_size=2),
)


@given(data=STREAMS, places=st.data())
@example(data=text("a") + frame(TEXT, b"frag", fin=False) + text("wrong") + text("b"), places=None)
@example(data=frame(TEXT, b"frag", fin=False) + frame(PING) + frame(CONTINUATION, b"ment") + text("b"), places=None)
def test_however_a_stream_is_cut_its_messages_are_those_that_wsproto_reads(data, places):
    cuts = [] if places is None else places.draw(st.lists(st.integers(0, len(data)), max_size=20))
    messages, pings, end = read_by_wsproto(data)
    read, answered, ended = read_here(cut(data, cuts))
    assert read == messages
    assert ended == end
    # Of the pings of one chunk only the last is answered.
    assert answered == [ping for ping in answered if ping in pings]
    assert bool(answered) == bool(pings)


@pytest.mark.parametrize(
    "data",
    [
        text("") + text("a") + text("b" * 125) + text("c" * 126) + text("é€😀" * 40),
        text("a") + frame(PING, b"1") + text("b") + frame(BINARY, b"\x00") + frame(PONG, b"unasked") + text("c" * 130),
        frame(TEXT, "é".encode()[:1], fin=False)
        + frame(PING)
        + frame(CONTINUATION, "é".encode()[1:])
        + text("b" * 126),
        text("a" * 126) + frame(CLOSE, close_payload(1000)) + text("behind"),
    ],
)
def test_every_byte_may_come_alone(data):
    whole = read_by_wsproto(data)
    assert read_here([data[at : at + 1] for at in range(len(data))]) == whole
    for place in range(len(data)):
        messages, _, end = read_here(cut(data, [place]))
        assert (messages, end) == (whole[0], whole[2])


@given(data=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=6))
def test_rubbish_gives_no_message_that_wsproto_does_not_read(data, places):
    chunks = cut(data, [min(place, len(data)) for place in places])
    messages, _, end = read_by_wsproto(data)
    read, _, ended = read_here(chunks)
    assert read == messages
    # A header that is not whole yet may be wrong already.
    assert ended is None or end is not None or ended == 1009


def test_a_message_beyond_the_limit_is_refused_by_its_header_alone():
    frames = new(SMALL_LIMIT)
    assert frames.receive(text("before") + frame(TEXT, b"a" * (SMALL_LIMIT + 1))[:10]) == ["before"]
    assert frames.end.code == 1009
    assert frames.end.words == "the server breaks the WebSocket protocol: a message of more than 131072 bytes"
    frames = new()
    assert frames.receive(b"\x82\x7f" + struct.pack("!Q", 2**63 + 5)) == []
    assert frames.end.code == 1009


def test_a_message_of_the_limit_is_taken_and_one_of_fragments_beyond_it_is_not():
    frames = new(SMALL_LIMIT)
    assert frames.receive(frame(TEXT, b"a" * SMALL_LIMIT)) == ["a" * SMALL_LIMIT]
    half = b"a" * (SMALL_LIMIT // 2)
    assert frames.receive(frame(BINARY, half, fin=False) + frame(CONTINUATION, half)) == [half * 2]
    assert frames.receive(frame(TEXT, half, fin=False) + frame(CONTINUATION, half, fin=False)) == []
    assert frames.end is None
    assert frames.receive(frame(PING) + frame(CONTINUATION, b"1")[:2]) == []
    assert frames.end.code == 1009


def test_what_waits_for_its_rest_is_never_more_than_a_small_frame():
    frames = new()
    for _ in range(16):
        frames.receive(frame(TEXT, b"a" * 2**20)[:-1])
        assert len(frames._rest) <= 2**16 + 4
        assert frames.receive(b"a") == ["a" * 2**20]


def test_a_server_that_masks_or_sends_no_utf8_is_refused_in_words():
    for data, code, words in (
        (text("masked", mask=True), 1002, "masked"),
        (frame(TEXT, b"ab\xff"), 1007, "no UTF-8"),
        (frame(3, b""), 1002, "opcode"),
    ):
        frames = new()
        assert frames.receive(text("good") + data) == ["good"]
        assert frames.end.code == code
        assert words in frames.end.words


def test_behind_the_end_nothing_is_read():
    frames = new()
    assert frames.receive(text("a") + frame(CLOSE, close_payload(1011)) + text("b")) == ["a"]
    assert frames.end.words == "the socket was closed (1011)"
    assert frames._connection.state is ConnectionState.REMOTE_CLOSING
    assert frames.receive(text("c")) == []


def test_of_many_pings_the_last_is_answered_and_an_unasked_pong_means_nothing():
    frames = new()
    assert frames.receive(frame(PONG, b"unasked") + frame(PING, b"1") + text("a") + frame(PING, b"2")) == ["a"]
    assert frames.take_ping().payload == b"2"
    assert frames.take_ping() is None
    assert frames.end is None
