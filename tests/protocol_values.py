"""What may travel in events, for property tests of both sides of the wire.

Left out is what the other side cannot say back: integers that a double does not hold exactly (and floats beyond them,
which JavaScript writes as integers), lone surrogates, and keys with a meaning of their own to Socket.IO
(`_placeholder`) or to JavaScript (`__proto__`).
"""

from hypothesis import strategies as st

from exportctl.protocol import socketio
from exportctl.protocol.socketio import Ack, Connect, ConnectError, Disconnect, Event

EXACT = 2**53 - 1

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = texts.filter(lambda key: key not in {"_placeholder", "__proto__"})
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-EXACT, EXACT)
    | st.floats(-EXACT, EXACT, allow_nan=False, allow_infinity=False)
    | texts
)
blobs = st.binary(max_size=40)


def nested(leaves):
    """Lists and objects of the leaves, a few levels deep."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


plain_values = nested(scalars)
values = nested(scalars | blobs)
namespaces = st.just("/") | st.from_regex(r"/[a-z0-9_-]{1,12}", fullmatch=True)
ack_ids = st.integers(0, EXACT)
names = texts.filter(
    lambda name: (
        name not in {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
    )
)


def attachments(value):
    """Every blob of a value, in order of appearance."""
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, dict):
        return [blob for inner in value.values() for blob in attachments(inner)]
    if isinstance(value, list | tuple):
        return [blob for inner in value for blob in attachments(inner)]
    return []


objects = st.dictionaries(keys, plain_values, max_size=3)
args = st.lists(values, max_size=3).filter(lambda many: len(attachments(many)) <= socketio.MAX_ATTACHMENTS).map(tuple)
packets = (
    st.builds(Event, namespace=namespaces, name=names, args=args, ack_id=st.none() | ack_ids)
    | st.builds(Ack, namespace=namespaces, ack_id=ack_ids, args=args)
    | st.builds(Connect, namespace=namespaces, data=st.none() | objects)
    | st.builds(Disconnect, namespace=namespaces)
    | st.builds(ConnectError, namespace=namespaces, message=texts, data=plain_values)
)
