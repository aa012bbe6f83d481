"""Bodies in chunks come out whole however they are torn, as h11 reads them; rubbish is told from them."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.client.chunks import Chunks, FramingError

TOKENS = [b"3", b"a", b'A;x="y"', b"0", b" ", b"\r\n", b"\n", b"\r", b"abc", b"-1", b"0x1"]
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(pieces):
    """Return the data of a body that comes in these pieces, and whether it has ended."""
    chunks, spare, data = Chunks(), bytearray(), bytearray()
    for piece in pieces:
        spare += piece
        while True:
            chunks.take(spare)
            got = spare[: chunks.left]
            if not got:
                break
            data += got
            del spare[: len(got)]
            chunks.passed(len(got))
    return bytes(data), chunks.is_ended, bytes(spare)


def read_by_h11(body):
    """Return the same by h11; None where it calls it none."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + body)
    data = b""
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                data += event.data
            if isinstance(event, h11.EndOfMessage):
                return data, True
    except h11.RemoteProtocolError:
        return None
    return data, False


def spelled(parts, *, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(0, 250), max_size=6),
    st.sampled_from([b"0\r\n\r\n", b"000;a=b\r\nX: y\r\n\r\n", b"0\r\n", b""]),
)
def test_a_body_is_the_same_however_it_is_torn(parts, cuts, end):
    whole = spelled(parts, end=end)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[one:other] for one, other in itertools.pairwise(edges)]
    data, is_ended, rest = read(pieces)
    assert (data, is_ended) == (b"".join(parts), len(end) > len(b"0\r\n"))
    assert not is_ended or rest == b""
    assert read_by_h11(whole) == (data, is_ended)


@given(
    st.lists(
        st.sampled_from([b"3", b"a", b'A;x="y"', b"0", b" ", b"\r\n", b"\n", b"\r", b"abc", b"-1", b"0x1"]), max_size=9
    )
)
def test_nothing_is_taken_that_h11_refuses(tokens):
    body = b"".join(tokens)
    strict = read_by_h11(body)
    try:
        data, is_ended, _ = read([body])
    except FramingError:
        return
    if strict is not None:
        assert (data, is_ended) == strict
    else:
        assert not is_ended


@pytest.mark.parametrize(
    "body",
    [
        b"ZZ\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1\nx",
        b"1\r\nxy\r\n",
        b"1\r\nx\n",
        b"11111111111111111\r\n",
        b"1;" + b"x" * 5000,
        b"0\r\n" + b"X: y\r\n" * 2000,
    ],
)
def test_what_is_no_chunk_is_refused(body):
    with pytest.raises(FramingError):
        read([body])
