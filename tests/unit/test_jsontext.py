"""JSON, and what servers write in its place: read as a JavaScript client would, never as anything else."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.protocol import jsontext
from exportctl.protocol.errors import LimitExceededError, MalformedPacketError

PAIR = "\\ud83d\\ude00"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[NaN,Infinity,-Infinity]", [None, None, None]),
        ('{"progress":NaN,"stage":"NaN"}', {"progress": None, "stage": "NaN"}),
        ('["NaN","a\\"NaN",NaN]', ["NaN", 'a"NaN', None]),
        ('["\\ud800"]', ["\ufffd"]),
        ('["a\\uDC00b\\uD83D"]', ["a\ufffdb\ufffd"]),
        (f'["{PAIR}\\ud83d{PAIR}"]', ["\U0001f600\ufffd\U0001f600"]),
        ('["C:\\\\ud800",NaN]', ["C:\\ud800", None]),
        ('{"\\udfff":1}', {"\ufffd": 1}),
    ],
)
def test_what_is_no_json_though_servers_write_it_is_read(text, value):
    assert jsontext.read(text) == value
    assert jsontext.read_body(text.encode()) == value
    assert orjson.loads(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaNa",
        "[Infinit]",
        "[+NaN]",
        "[undefined]",
        "['a']",
        '["\\ud8"]',
        '["\\u12"]',
        '["a',
        '["\\',
        "[1e999]",
        '["\ud800"]',
    ],
)
def test_anything_else_is_malformed(text):
    with pytest.raises(MalformedPacketError):
        jsontext.read(text)


def test_bytes_that_are_no_text_are_read_as_a_browser_reads_them():
    assert jsontext.read_body(b'["a\xffb"]') == ["a\ufffdb"]


def test_mending_does_not_lift_the_limits():
    with pytest.raises(LimitExceededError):
        jsontext.read("[" * 200 + "NaN" + "]" * 200)


@pytest.mark.parametrize("piece", ['"', '\\"', "\\", "\\u", "\\ud800", "NaN", "-", '"\\u', "[", '"a'])
def test_mending_takes_no_longer_for_what_is_made_to_hold_it_up(piece):
    """A pattern that begins again at each piece would take hours for this."""
    with pytest.raises((MalformedPacketError, LimitExceededError)):
        jsontext.read("[" + piece * 300_000)


@given(st.text())
def test_mending_changes_no_text_that_is_json(text):
    document = orjson.dumps([text]).decode()
    assert jsontext.read(document[:-1] + ",NaN]") == [text, None]
